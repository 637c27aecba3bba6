import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import {
  decodeTarHeader,
  encodeTarHeader,
  tarBlockBytes,
  tarEndBytes,
  tarPadding,
  type TarHeader,
  type TarMember,
} from './tar-header.ts';

const root = mkdtempSync(join(tmpdir(), 'pgr-tar-'));
after(() => rmSync(root, { recursive: true }));

const plain: TarMember = {
  kind: 'file',
  name: Buffer.from('base/5/1259'),
  mode: 0o600,
  uid: 101,
  gid: 104,
  user: 'postgres',
  group: 'postgres',
  modifiedAt: 1_790_000_000,
  sizeBytes: 8192,
};

/** The member that the blocks of a header tell of, as a reader puts it together. */
function decode(bytes: Uint8Array): TarHeader {
  let at = 0;
  const long: { name?: Uint8Array; target?: Uint8Array } = {};
  for (;;) {
    const header = decodeTarHeader(bytes.subarray(at, at + tarBlockBytes));
    assert.ok(header);
    at += tarBlockBytes;
    if (header.kind !== 'long-name' && header.kind !== 'long-target') {
      assert.equal(at, bytes.length);
      const name = long.name ?? header.name;
      const isDirectory = header.kind === 'directory' && name.at(-1) === 0x2f;
      return { ...header, ...long, name: isDirectory ? name.subarray(0, -1) : name };
    }
    const text = bytes.subarray(at, at + header.sizeBytes - 1);
    long[header.kind === 'long-name' ? 'name' : 'target'] = text;
    at += header.sizeBytes + tarPadding(header.sizeBytes);
  }
}

const nameBytes = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 90 }), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.map((part) => Buffer.from(part.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte)))))
  .map((parts) => Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [Buffer.from('/'), part]))));

const members = fc.record<TarMember>({
  kind: fc.constantFrom('file', 'directory', 'symlink'),
  name: nameBytes,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 0xffff_ffff }),
  gid: fc.integer({ min: 0, max: 0xffff_ffff }),
  user: fc.stringMatching(/^[a-z]{0,31}$/),
  group: fc.stringMatching(/^[a-z]{0,31}$/),
  modifiedAt: fc.integer({ min: 0, max: 2 ** 40 }),
  sizeBytes: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  target: nameBytes,
});

describe('the header of a tar member', () => {
  it('is one block for what PostgreSQL has, as PostgreSQL writes it', () => {
    const bytes = Buffer.from(encodeTarHeader(plain));
    assert.equal(bytes.length, tarBlockBytes);
    assert.equal(bytes.toString('latin1', 0, 12), 'base/5/1259\0');
    assert.equal(bytes.toString('latin1', 100, 156), '0000600 0000145 0000150 00000020000 15254235600 014565\0 ');
    assert.equal(bytes.toString('latin1', 156, 157), '0');
    assert.equal(bytes.toString('latin1', 257, 274), 'ustar\x0000postgres\0');
  });

  it('says what was put in', () => {
    fc.assert(
      fc.property(members, (member) => {
        const found = decode(encodeTarHeader(member));
        assert.deepEqual(
          { ...found, name: Buffer.from(found.name), target: Buffer.from(found.target ?? []) },
          {
            ...member,
            name: Buffer.from(member.name),
            sizeBytes: member.kind === 'file' ? member.sizeBytes : 0,
            target: Buffer.from(member.target ?? []),
          },
        );
      }),
    );
  });

  it('is refused where a byte of it was changed', () => {
    const bytes = encodeTarHeader(plain);
    fc.assert(
      fc.property(fc.nat(tarBlockBytes - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        let found: TarHeader | undefined;
        try {
          found = decodeTarHeader(changed);
        } catch (error) {
          assert.ok(hasCode(error, 'decode'), String(error));
          return;
        }
        // The checksum has blanks and zeros around it that mean nothing.
        assert.ok(found && at >= 148 && at < 156, `byte ${at}`);
      }),
    );
    assert.equal(decodeTarHeader(new Uint8Array(tarBlockBytes)), undefined);
    assert.throws(
      () => decodeTarHeader(bytes.subarray(1)),
      (error) => hasCode(error, 'decode'),
    );
  });
});

describe('GNU tar', () => {
  it('takes names and targets of every length, and of any encoding', () => {
    const names = [
      'short',
      'a'.repeat(99),
      'a'.repeat(100),
      `${'p'.repeat(60)}/${'n'.repeat(60)}`,
      `${'p'.repeat(155)}/${'n'.repeat(99)}`,
      `${'q'.repeat(150)}/${'n'.repeat(101)}`,
      `${'b'.repeat(200)}/${'c'.repeat(200)}/${'d'.repeat(200)}`,
      '데이터베이스/'.repeat(12) + '끝',
    ];
    const all = [...names.map((name) => Buffer.from(name)), Buffer.from([0xff, 0xfe, 0x80]), Buffer.alloc(150, 0xe9)];
    const parts = all.flatMap((name, i) => [
      encodeTarHeader({ ...plain, name, sizeBytes: i }),
      Buffer.alloc(i, 0x30 + i),
      new Uint8Array(tarPadding(i)),
    ]);
    for (const target of [Buffer.from('/mnt/fast'), Buffer.alloc(300, 0x74)]) {
      const name = Buffer.from(`link-${target.length}`);
      parts.push(encodeTarHeader({ ...plain, kind: 'symlink', name, target }));
    }
    parts.push(
      encodeTarHeader({ ...plain, kind: 'directory', name: Buffer.from(`dir-${'e'.repeat(120)}`), mode: 0o700 }),
    );
    const path = join(root, 'names.tar');
    writeFileSync(path, Buffer.concat([...parts, new Uint8Array(tarEndBytes)]));
    const listed = execFileSync('tar', ['--quoting-style=literal', '-tf', path], {
      env: { ...process.env, LC_ALL: 'C' },
    });
    const expected = Buffer.concat([
      ...all.flatMap((name) => [name, Buffer.from('\n')]),
      Buffer.from(`link-9\nlink-300\ndir-${'e'.repeat(120)}/\n`),
    ]);
    assert.equal(listed.toString('latin1'), expected.toString('latin1'));
    const verbose = execFileSync('tar', ['--quoting-style=literal', '--numeric-owner', '-tvf', path], {
      encoding: 'latin1',
    });
    assert.match(verbose, /^-rw------- 101\/104 +1 /m);
    assert.match(verbose, new RegExp(`link-300 -> t{300}$`, 'm'));
    assert.match(verbose, /^drwx------ /m);
  });

  it('takes a file of more than 8 GiB', () => {
    const path = join(root, 'large.tar');
    const sizeBytes = 9 * 2 ** 30 + 1;
    const header = encodeTarHeader({ ...plain, sizeBytes });
    const descriptor = openSync(path, 'w');
    writeSync(descriptor, header);
    // A hole in the file instead of its content.
    ftruncateSync(descriptor, header.length + sizeBytes + tarPadding(sizeBytes));
    const last = encodeTarHeader({ ...plain, name: Buffer.from('last'), sizeBytes: 0 });
    const size = statSync(path).size;
    writeSync(descriptor, Buffer.concat([last, new Uint8Array(tarEndBytes)]), 0, last.length + tarEndBytes, size);
    const listed = execFileSync('tar', ['-tvf', path], { encoding: 'utf8' });
    assert.match(listed, new RegExp(` ${sizeBytes} .*base/5/1259\n.* 0 .*last\n$`));
  });
});
