import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { BackupManifestWriter, parseBackupManifest, type ManifestFile, type WalRange } from './backup-manifest.ts';
import { lsn } from './lsn.ts';
import { systemIdentifier } from './system-identifier.ts';
import { timeline } from './timeline.ts';

const identifier = systemIdentifier('7712036835138130564');
const ranges: readonly WalRange[] = [
  { timeline: timeline(1), startLsn: lsn(0x200_0028n), endLsn: lsn(0x200_0100n) },
  { timeline: timeline(2), startLsn: lsn(0x200_0100n), endLsn: lsn(0x1_0000_0000n) },
];
const files: readonly ManifestFile[] = [
  { path: 'backup_label', sizeBytes: 225, lastModified: '2026-11-23 08:38:34 GMT', crc32c: 0x0a0b_0c0d },
  { path: 'base/5/1259', sizeBytes: 114_688, lastModified: '2026-11-23 08:38:35 GMT', crc32c: 0xffff_fffe },
  { path: 'log/a "quoted" \\ 이름\n', sizeBytes: 0, lastModified: '2026-11-23 08:38:36 GMT', crc32c: 0 },
  { path: Buffer.from([0x6c, 0x2f, 0xff, 0xfe]), sizeBytes: 7, lastModified: '2026-11-23 08:38:37 GMT' },
];

function write(postgresMajor: number, list: readonly ManifestFile[], walRanges: readonly WalRange[]): string {
  const writer = new BackupManifestWriter({ postgresMajor, systemIdentifier: identifier });
  return list.map((file) => writer.addFile(file)).join('') + writer.finish(walRanges);
}

/** The text with its checksum made right again. */
function resealed(text: string): string {
  const body = text.slice(0, text.lastIndexOf('"Manifest-Checksum"'));
  return `${body}"Manifest-Checksum": "${createHash('sha256').update(body).digest('hex')}"}\n`;
}

const parsedFiles = [
  ['backup_label', 225, 'CRC32C', '0d0c0b0a'],
  ['base/5/1259', 114_688, 'CRC32C', 'feffffff'],
  ['log/a "quoted" \\ 이름\n', 0, 'CRC32C', '00000000'],
  [Buffer.from([0x6c, 0x2f, 0xff, 0xfe]), 7, undefined, undefined],
];

describe('backup_manifest', () => {
  it('is of version 1 up to 16, and of version 2, with the system identifier, since 17', () => {
    for (const [major, version, found] of [
      [14, 1, undefined],
      [16, 1, undefined],
      [17, 2, identifier],
      [18, 2, identifier],
    ] as const) {
      const parsed = parseBackupManifest(write(major, files, ranges));
      assert.deepEqual([parsed.version, parsed.systemIdentifier], [version, found]);
      assert.deepEqual(
        parsed.files.map(({ path, sizeBytes, checksumAlgorithm, checksum }) => [
          path,
          sizeBytes,
          checksumAlgorithm,
          checksum,
        ]),
        parsedFiles,
      );
      assert.deepEqual(parsed.walRanges, ranges);
    }
  });

  it('is written as PostgreSQL writes it, to the byte', () => {
    const text = write(17, files.slice(0, 2), ranges.slice(0, 1));
    const body = [
      '{ "PostgreSQL-Backup-Manifest-Version": 2,',
      '"System-Identifier": 7712036835138130564,',
      '"Files": [',
      '{ "Path": "backup_label", "Size": 225, "Last-Modified": "2026-11-23 08:38:34 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "0d0c0b0a" },',
      '{ "Path": "base/5/1259", "Size": 114688, "Last-Modified": "2026-11-23 08:38:35 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "feffffff" }',
      '],',
      '"WAL-Ranges": [',
      '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }',
      '],',
      '',
    ].join('\n');
    assert.equal(text, `${body}"Manifest-Checksum": "${createHash('sha256').update(body).digest('hex')}"}\n`);
  });

  it('of a cluster without files is still one', () => {
    const parsed = parseBackupManifest(write(15, [], ranges));
    assert.deepEqual(parsed.files, []);
    assert.deepEqual(parsed.walRanges, ranges);
  });

  it('is refused wherever it is cut', () => {
    const text = write(18, files, ranges);
    for (let cut = 0; cut < text.length; cut += 1) {
      assert.throws(() => parseBackupManifest(text.slice(0, cut)), { code: 'decode' }, `cut at ${cut}`);
    }
  });

  it('is refused wherever a bit flips', () => {
    const bytes = Buffer.from(write(17, files.slice(0, 2), ranges.slice(0, 1)));
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => parseBackupManifest(bytes.toString('utf8')), { code: 'decode' }, `bit ${bit}`);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
  });

  it('is refused where its checksum fits but its content cannot be', () => {
    const text = write(17, files.slice(0, 1), ranges.slice(0, 1));
    const changes: readonly (readonly [string, string, string])[] = [
      ['no JSON', '"Files": [', '"Files": ]'],
      ['another version', 'Version": 2', 'Version": 3'],
      ['no version', 'PostgreSQL-Backup-Manifest-Version', 'Version'],
      ['no files', '"Files"', '"Filez"'],
      ['files that are no objects', '"Files": [', '"Files": [1, '],
      ['files that are lists', '"Files": [', '"Files": [[], '],
      ['no size', '"Size": 225', '"Size": null'],
      ['a negative size', '"Size": 225', '"Size": -1'],
      ['a size that is no whole number', '"Size": 225', '"Size": 0.5'],
      ['an absurd size', '"Size": 225', '"Size": 1e300'],
      ['a path that is no text', '"Path": "backup_label"', '"Path": 5'],
      ['two paths', '"Path": "backup_label"', '"Path": "x", "Encoded-Path": "00"'],
      ['an encoded path of half a byte', '"Path": "backup_label"', '"Encoded-Path": "0"'],
      ['an encoded path that is not hexadecimal', '"Path": "backup_label"', '"Encoded-Path": "zz"'],
      ['a checksum that is no text', '"Checksum": "', '"Checksum": 1, "x": "'],
      ['no ranges', '"WAL-Ranges"', '"Ranges"'],
      ['timeline 0', '"Timeline": 1', '"Timeline": 0'],
      ['a timeline that is text', '"Timeline": 1', '"Timeline": "1"'],
      ['a position that is none', '"0/2000028"', '"2000028"'],
      ['no position', '"Start-LSN"', '"Start"'],
    ];
    assert.equal(parseBackupManifest(resealed(text)).files.length, 1);
    for (const [what, from, to] of changes) {
      assert.ok(text.includes(from), what);
      assert.throws(() => parseBackupManifest(resealed(text.replace(from, to))), { code: 'decode' }, what);
    }
  });

  it('has a system identifier only where PostgreSQL writes one, whatever the paths say', () => {
    const path = '"System-Identifier": 1,\n"System-Identifier": 2,';
    const parsed = parseBackupManifest(write(16, [{ path, sizeBytes: 1, lastModified: 'x' }], []));
    assert.equal(parsed.systemIdentifier, undefined);
    assert.equal(parsed.files[0]?.path, path);
  });

  it('is read or refused, whatever is in it', () => {
    const text = write(17, files, ranges);
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(30), fc.string(), (at, removed, inserted) => {
        try {
          parseBackupManifest(resealed(text.slice(0, at) + inserted + text.slice(at + removed)));
        } catch (error) {
          assert.ok(error instanceof PgrecallError && error.code === 'decode');
        }
      }),
    );
  });

  it('is what it was after being written and read', () => {
    const list = fc.array(
      fc.record({
        path: fc.string({ unit: 'binary' }),
        sizeBytes: fc.maxSafeNat(),
        lastModified: fc.constant('2026-11-23 08:38:34 GMT'),
        crc32c: fc.nat(0xffff_ffff),
      }),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(list, fc.constantFrom(14, 18), (made, major) => {
        const parsed = parseBackupManifest(write(major, made, ranges));
        assert.deepEqual(
          parsed.files.map(({ path, sizeBytes, checksum }) => [
            path,
            sizeBytes,
            Buffer.from(checksum ?? '', 'hex').readUInt32LE(),
          ]),
          made.map(({ path, sizeBytes, crc32c }) => [path, sizeBytes, crc32c]),
        );
      }),
    );
  });
});
