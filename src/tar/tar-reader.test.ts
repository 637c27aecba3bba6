import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { encodeTarHeader, tarEndBytes, tarPadding } from './tar-header.ts';
import { TarReader } from './tar-reader.ts';

interface Told {
  readonly name: string;
  content: string;
  ended: boolean;
}

function archive(contents: readonly Buffer[], end: Uint8Array): Buffer {
  const parts = contents.flatMap((content, i) => {
    const sizeBytes = content.length;
    const owner = { mode: 0o600, uid: 1, gid: 1, user: 'postgres', group: 'postgres', modifiedAt: 1 };
    const header = encodeTarHeader({ kind: 'file', name: Buffer.from(`base/5/${i}`), sizeBytes, ...owner });
    return [header, content, new Uint8Array(tarPadding(sizeBytes))];
  });
  return Buffer.concat([...parts, end]);
}

function read(chunks: readonly Uint8Array[]): Told[] {
  const reader = new TarReader();
  const told: Told[] = [];
  for (const chunk of chunks) {
    for (const part of reader.push(chunk)) {
      const last = told.at(-1);
      if (part.kind === 'member') {
        told.push({ name: Buffer.from(part.header.name).toString(), content: '', ended: false });
      } else if (last && part.kind === 'content') last.content += Buffer.from(part.bytes).toString('latin1');
      else if (last) last.ended = true;
    }
  }
  reader.finish();
  return told;
}

const contents = fc.array(
  fc.uint8Array({ maxLength: 1500 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 5 },
);
const ends = fc.constantFrom(new Uint8Array(0), new Uint8Array(tarEndBytes));

describe('a tar archive that is read', () => {
  it('gives what was put in, however it is split', () => {
    fc.assert(
      fc.property(contents, ends, fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (files, end, sizes) => {
        const bytes = archive(files, end);
        const chunks: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const size = sizes[i % sizes.length] ?? 1;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        const expected = files.map((file, i) => ({
          name: `base/5/${i}`,
          content: file.toString('latin1'),
          ended: true,
        }));
        assert.deepEqual(read(chunks), expected);
      }),
    );
  });

  it('is refused where it is cut', () => {
    const bytes = archive([Buffer.alloc(700, 1)], new Uint8Array(0));
    for (let length = 1; length < bytes.length; length += 1) {
      assert.throws(
        () => read([bytes.subarray(0, length)]),
        (error) => hasCode(error, 'decode'),
        `${length} bytes`,
      );
    }
  });

  it('is refused where it goes on behind its end', () => {
    const bytes = archive([Buffer.alloc(3)], new Uint8Array(tarEndBytes));
    assert.throws(
      () => read([bytes, bytes]),
      (error) => hasCode(error, 'decode'),
    );
  });
});
