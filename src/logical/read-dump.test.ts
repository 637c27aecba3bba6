import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { crc32c } from '../bytes/crc32c.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { readDumpFile } from './read-dump.ts';

const chunkBytes = 70_000;

/** Some chunks that can be compressed, and some that cannot. */
async function storeFile(cluster: ClusterRepository, chunks: number): Promise<[StoredEntry, Buffer]> {
  const parts = Array.from({ length: chunks }, (_, i) =>
    i % 2 === 0 ? Buffer.alloc(chunkBytes, `row ${i} `) : countingBytes(`${i}`)(chunkBytes - i),
  );
  const pack = await cluster.createPack();
  const extents = [];
  let fileOffset = 0;
  for (const part of parts) {
    const blob = await pack.append(part);
    extents.push({ fileOffset, lengthBytes: part.length, pack: pack.id, blob, blobOffset: 0 });
    fileOffset += part.length;
  }
  await pack.finish();
  const content = Buffer.concat(parts);
  const about = { path: '1/dump.sql', kind: 'file', mode: 0o600, owner: '', group: '', modifiedMs: 0 } as const;
  const maps = { extents, sums: [] };
  const sizes = { sizeBytes: content.length, crc32c: crc32c(content) };
  return [{ ...about, ...sizes, loadMaps: async () => maps } as unknown as StoredEntry, content];
}

describe('a file of a dump is read', () => {
  it('piece by piece, all in the same memory', async () => {
    const cluster = (await testRepository()).cluster('main');
    const [file, content] = await storeFile(cluster, 40);
    const read: Buffer[] = [];
    const memories = new Set<ArrayBufferLike>();
    for await (const piece of readDumpFile(cluster, file)) {
      memories.add(piece.buffer);
      read.push(Buffer.from(piece));
    }
    assert.ok(Buffer.concat(read).equals(content));
    assert.ok(read.length > 2);
    // Each other piece is a little shorter than the one before, none is longer.
    assert.equal(memories.size, 1);
  });

  it('to its end, where it turns out not to be what was dumped', async () => {
    const cluster = (await testRepository()).cluster('main');
    const [file] = await storeFile(cluster, 3);
    const wrong = { ...file, crc32c: file.crc32c + 1 };
    let bytes = 0;
    await assert.rejects(
      async () => {
        for await (const piece of readDumpFile(cluster, wrong)) bytes += piece.length;
      },
      (error) => hasCode(error, 'object-damaged'),
    );
    assert.equal(bytes, file.sizeBytes);
  });
});
