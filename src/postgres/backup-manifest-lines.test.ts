import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { BackupManifestLines } from './backup-manifest-lines.ts';
import { BackupManifestWriter, parseBackupManifest } from './backup-manifest.ts';
import { lsn } from './lsn.ts';
import { systemIdentifier } from './system-identifier.ts';
import { timeline } from './timeline.ts';

function manifest(): Buffer {
  const writer = new BackupManifestWriter({
    postgresMajor: 18,
    systemIdentifier: systemIdentifier('7651468999202007240'),
  });
  const lastModified = '2026-11-25 10:00:00 GMT';
  const texts = ['base/5/1259', 'a "name"\nof two lines', '데이터', Buffer.from([0xff, 0x41])].map((path, i) =>
    writer.addFile({ path, sizeBytes: i * 8192, lastModified, crc32c: i }),
  );
  const range = { timeline: timeline(1), startLsn: lsn(0x100n), endLsn: lsn(0x200n) };
  return Buffer.from(texts.join('') + writer.finish([range]));
}

function read(chunks: readonly Uint8Array[]): unknown[] {
  const lines = new BackupManifestLines();
  const files = chunks.flatMap((chunk) => [...lines.push(chunk)]);
  lines.finish();
  return files;
}

describe('a manifest that is read line by line', () => {
  it('has the files that it has when it is read whole, however it is split', () => {
    const bytes = manifest();
    const expected = parseBackupManifest(bytes.toString('utf8')).files;
    assert.equal(expected.length, 4);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
        assert.deepEqual(read(chunks), expected);
      }),
    );
  });

  it('is refused where it is cut, or a byte of it is another', () => {
    const bytes = manifest();
    const isRefused = (error: unknown): boolean => hasCode(error, 'decode');
    for (let length = 0; length < bytes.length; length += 1)
      assert.throws(() => read([bytes.subarray(0, length)]), isRefused);
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      assert.throws(() => read([changed]), isRefused, `byte ${at}`);
    }
  });
});
