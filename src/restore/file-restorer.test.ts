import assert from 'node:assert/strict';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { scatteredFile, type Generation } from '../../test/support/scattered-file.ts';
import { testRepository } from '../../test/support/test-repository.ts';
import { restoreHere } from './restoring.ts';

const attributes = { mode: 0o600, modifiedMs: 0, owner: undefined };

/** Pages that changed, each once, in any order within the blobs. */
function generationOf(pages: number): fc.Arbitrary<Generation> {
  return fc.record({
    pages: fc.uniqueArray(fc.nat(pages - 1), { maxLength: pages }),
    pagesToBlob: fc.integer({ min: 1, max: 8 }),
  });
}

const files = fc.integer({ min: 1, max: 60 }).chain((pages) =>
  fc.record({
    pages: fc.constant(pages),
    lastBytes: fc.integer({ min: 1, max: 512 }),
    generations: fc.array(generationOf(pages), { maxLength: 6 }),
  }),
);

/** How often each blob is opened from now on. */
function countOpened(cluster: ClusterRepository): Map<string, number> {
  const opened = new Map<string, number>();
  const inner = cluster.openPack.bind(cluster);
  cluster.openPack = async (id) => {
    const pack = await inner(id);
    const read = pack.read.bind(pack);
    pack.read = (blob) => {
      const name = `${id} ${blob.offset}`;
      opened.set(name, (opened.get(name) ?? 0) + 1);
      return read(blob);
    };
    return pack;
  };
  return opened;
}

describe('restoring a file whose map alternates between the blobs of many backups', () => {
  it('gives its content, and opens each blob that has a part in it once', async () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'pgr-scattered-'));
    let number = 0;
    await fc.assert(
      fc.asyncProperty(files, async (made) => {
        const cluster = (await testRepository()).cluster('main');
        const { extents, content } = await scatteredFile(cluster, made);
        const opened = countOpened(cluster);
        number += 1;
        const absolutePath = join(directory.path, String(number));
        const restoring = restoreHere(cluster);
        const { newBytes } = await restoring.restore([{ absolutePath, attributes, extents }]);
        await restoring.close();
        assert.equal(newBytes, content.length);
        assert.ok(readFileSync(absolutePath).equals(content));
        const blobs = new Set(extents.map(({ pack, blob }) => `${pack} ${blob.offset}`));
        assert.deepEqual(opened, new Map([...blobs].map((name) => [name, 1])));
      }),
      { numRuns: 150 },
    );
  });
});
