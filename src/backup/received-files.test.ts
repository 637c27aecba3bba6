import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readBackup } from '../../test/support/made-up-backup.ts';
import { testRepository } from '../../test/support/test-repository.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { crc32c } from '../bytes/crc32c.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { pageBytes } from '../postgres/page.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { copyHere } from './copying.ts';
import { EntryShelf } from './entry-shelf.ts';
import { ReceivedFiles } from './received-files.ts';
import { ReferenceIndex } from './reference-index.ts';

const path = 'base/5/16384';

function page(seed: number): Buffer {
  const bytes = Buffer.alloc(pageBytes, seed % 251);
  bytes.writeUInt32LE(seed, 4096);
  return bytes;
}

interface Increment {
  /** Ascending. */
  readonly blocks: readonly number[];
  readonly truncation: number;
}

/** As a server sends it. */
function encode({ blocks, truncation }: Increment, seed: number): Buffer {
  const into = new ByteWriter().u32(0xd3ae_1f0d).u32(blocks.length).u32(truncation);
  for (const block of blocks) into.u32(block);
  const padding = blocks.length === 0 ? 0 : (pageBytes - (into.length % pageBytes)) % pageBytes;
  return Buffer.concat([into.finish(), Buffer.alloc(padding), ...blocks.map((block) => page(seed * 10_000 + block))]);
}

/** As pg_combinebackup would make it of a file and its increment. */
function combine(before: Buffer, { blocks, truncation }: Increment, seed: number): Buffer {
  const length = Math.max(truncation, (blocks.at(-1) ?? -1) + 1);
  const after = Buffer.alloc(length * pageBytes);
  before.copy(after, 0, 0, Math.min(before.length, truncation * pageBytes));
  for (const block of blocks) page(seed * 10_000 + block).copy(after, block * pageBytes);
  return after;
}

/** Backups of one file, each of what is sent. */
class Receiving {
  readonly cluster: ClusterRepository;
  #count = 0;

  constructor(cluster: ClusterRepository) {
    this.cluster = cluster;
  }

  async receive(sent: Buffer, incremental: boolean, chunkBytes: number): Promise<Buffer> {
    const copying = copyHere(this.cluster, lsn(0n));
    const shelf = new EntryShelf();
    await using before = this.#count > 0 ? await this.cluster.openManifest(`b${this.#count}`) : undefined;
    const files = new ReceivedFiles({
      copying,
      shelf,
      reference: before && (await ReferenceIndex.open(before)),
      badPages: new Map(),
      dataChecksums: false,
      relationSegmentBlocks: 131_072,
      onProgress: () => undefined,
    });
    const sizeBytes = sent.length;
    const entry = {
      kind: 'file',
      path,
      absolutePath: path,
      sizeBytes,
      modifiedMs: 0,
      mode: 0o600,
      uid: 0,
      gid: 0,
    } as const;
    await files.begin({ entry, owner: 'postgres', group: 'postgres', incremental, sizeBytes });
    for (let at = 0; at < sizeBytes; at += chunkBytes) await files.content(sent.subarray(at, at + chunkBytes));
    await files.end();
    const copied = await files.finish([]);
    await copying.finish();
    await copying.close();
    this.#count += 1;
    const manifest = await this.cluster.createManifest(`b${this.#count}`);
    for (const one of shelf.entries()) {
      assert.equal(one.sizeBytes, copied.sizeBytes);
      await manifest.add(one);
    }
    await manifest.finish();
    assert.deepEqual(shelf.cameAs(path), { sizeBytes, crc32c: crc32c(sent) });
    const found = (await readBackup(this.cluster, `b${this.#count}`)).get(path);
    assert.ok(Buffer.isBuffer(found));
    const [stored] = [...shelf.entries()];
    assert.equal(stored?.crc32c, crc32c(found));
    return found;
  }
}

const startPages = fc.oneof(fc.nat(70), fc.integer({ min: 1000, max: 1100 }));

const increments = fc.array(
  fc.record({
    // Here and there, or a run, also behind the end of a piece.
    blocks: fc.oneof(
      fc.uniqueArray(fc.nat(80), { maxLength: 40 }),
      fc.uniqueArray(fc.integer({ min: 980, max: 1060 }), { maxLength: 20 }),
      fc.constant([] as number[]),
    ),
    truncation: fc.oneof(fc.nat(80), fc.integer({ min: 1000, max: 1100 })),
  }),
  { minLength: 1, maxLength: 4 },
);

describe('increments that come over a connection', () => {
  it('make of the reference what PostgreSQL would make of it, cut, grown and with holes', async () => {
    await fc.assert(
      fc.asyncProperty(startPages, increments, fc.integer({ min: 1, max: 40_000 }), async (pages, steps, chunk) => {
        const receiving = new Receiving((await testRepository()).cluster('main'));
        const chunkBytes = Math.max(chunk, 500);
        let expected: Buffer = Buffer.concat(Array.from({ length: pages }, (_, i) => page(i)));
        assert.ok((await receiving.receive(expected, false, 32_768)).equals(expected));
        for (const [i, { blocks, truncation }] of steps.entries()) {
          const increment = { blocks: blocks.toSorted((a, b) => a - b), truncation };
          expected = combine(expected, increment, i + 1);
          const found = await receiving.receive(encode(increment, i + 1), true, chunkBytes);
          assert.equal(found.length, expected.length);
          assert.ok(found.equals(expected), `increment ${i + 1}`);
        }
      }),
      { numRuns: Number(process.env['PGRECALL_TEST_RUNS'] ?? 30) },
    );
  });

  it('do not scatter a file ever more', async () => {
    const receiving = new Receiving((await testRepository()).cluster('main'));
    let expected: Buffer = Buffer.concat(Array.from({ length: 128 }, (_, i) => page(i)));
    await receiving.receive(expected, false, 32_768);
    for (let i = 1; i <= 40; i += 1) {
      const increment = { blocks: [i % 128, (i * 37) % 128].toSorted((a, b) => a - b), truncation: 128 };
      if (increment.blocks[0] === increment.blocks[1]) increment.blocks.pop();
      expected = combine(expected, increment, i);
      assert.ok((await receiving.receive(encode(increment, i), true, 8192)).equals(expected), `increment ${i}`);
    }
    await using manifest = await receiving.cluster.openManifest('b41');
    for await (const entry of manifest.entries()) {
      const { extents } = await entry.loadMaps();
      const blobs = new Set(extents.map(({ pack, blob }) => `${pack} ${blob.offset}`));
      assert.ok(blobs.size <= 12, `${blobs.size} blobs`);
    }
  });

  it('are refused where they are cut, or build on nothing', async () => {
    const receiving = new Receiving((await testRepository()).cluster('main'));
    const increment = encode({ blocks: [1], truncation: 2 }, 1);
    const isRefused = (error: unknown): boolean => hasCode(error, 'decode');
    await assert.rejects(receiving.receive(increment, true, 8192), isRefused);
    await receiving.receive(page(1), false, 8192);
    await assert.rejects(receiving.receive(increment.subarray(0, 9000), true, 8192), isRefused);
    await assert.rejects(receiving.receive(increment.subarray(0, 10), true, 8192), isRefused);
  });
});
