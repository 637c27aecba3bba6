import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ErrorCode } from '../errors/catalogue.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { Extent } from './file-map.ts';
import type { PackId } from './pack-id.ts';
import { FaultStorage } from '../storage/fault.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { reopened } from '../../test/support/made-up-backup.ts';
import { countingBytes, testRepository } from '../../test/support/test-repository.ts';
import { ExtentReader } from './extent-reader.ts';

interface Packed {
  readonly memory: MemoryStorage;
  readonly counting: FaultStorage;
  readonly cluster: ClusterRepository;
  /** In several packs, each with its chunks. */
  readonly extents: readonly (readonly Extent[])[];
  readonly content: Buffer;
}

/** `packs` packs of `chunks` chunks that do not compress. */
async function packed(packs: number, chunks: number, chunkBytes = 65_536): Promise<Packed> {
  const memory = new MemoryStorage();
  const repository = await testRepository({ storage: memory });
  const content = countingBytes('content')(packs * chunks * chunkBytes);
  const extents: Extent[][] = [];
  for (let i = 0; i < packs; i += 1) {
    const pack = await repository.cluster('main').createPack();
    const own: Extent[] = [];
    for (let j = 0; j < chunks; j += 1) {
      const fileOffset = (i * chunks + j) * chunkBytes;
      const blob = await pack.append(content.subarray(fileOffset, fileOffset + chunkBytes));
      own.push({ fileOffset, lengthBytes: chunkBytes, pack: pack.id, blob, blobOffset: 0 });
    }
    await pack.finish();
    extents.push(own);
  }
  const counting = new FaultStorage(memory);
  return { memory, counting, cluster: reopened(repository, counting), extents, content: Buffer.from(content) };
}

async function readAll(reader: ExtentReader, extents: readonly Extent[], sizeBytes: number): Promise<Buffer> {
  const whole = Buffer.alloc(sizeBytes);
  await reader.read(extents, (bytes, extent) => whole.set(bytes, extent.fileOffset));
  return whole;
}

const readsOf = ({ counting }: Packed): number => counting.operations.filter(({ kind }) => kind === 'read').length;

describe('reading the extents of a file', () => {
  it('takes blobs that follow each other with few reads', async () => {
    const made = await packed(1, 100);
    const reader = new ExtentReader(made.cluster);
    assert.deepEqual(await readAll(reader, made.extents.flat(), made.content.length), made.content);
    // The header of the pack, and 6.5 MB in runs of at most 4 MiB.
    assert.equal(readsOf(made), 1 + 2);
    await reader.close();
  });

  it('takes them in the order of the file, from whichever packs', async () => {
    const made = await packed(3, 4);
    const [one = [], two = [], three = []] = made.extents;
    const mixed = [one[0], two[1], two[2], one[3], three[0], one[1]].filter((extent) => extent !== undefined);
    const reader = new ExtentReader(made.cluster);
    const seen: number[] = [];
    await reader.read(mixed, (bytes, { fileOffset, lengthBytes }) => {
      assert.deepEqual(Buffer.from(bytes), made.content.subarray(fileOffset, fileOffset + lengthBytes));
      seen.push(fileOffset);
    });
    assert.deepEqual(
      seen,
      mixed.map(({ fileOffset }) => fileOffset),
    );
    await reader.close();
  });

  it('takes parts of blobs', async () => {
    const made = await packed(1, 3);
    const [, second] = made.extents[0] ?? [];
    assert.ok(second);
    const part = { ...second, fileOffset: 0, blobOffset: 8192, lengthBytes: 4096 };
    const reader = new ExtentReader(made.cluster);
    const expected = made.content.subarray(65_536 + 8192, 65_536 + 8192 + 4096);
    assert.deepEqual(
      await readAll(reader, [part, { ...part, fileOffset: 4096 }], 8192),
      Buffer.concat([expected, expected]),
    );
    await reader.close();
  });

  it('opens a blob once for parts of it in a row, and reads small gaps along, not large ones', async () => {
    const made = await packed(1, 9, 32_768);
    const own = made.extents[0] ?? [];
    const page = (blob: number, at: number): Extent => {
      const extent = own[blob];
      assert.ok(extent);
      return { ...extent, fileOffset: at * 8192, blobOffset: at * 8192, lengthBytes: 8192 };
    };
    const { cluster } = made;
    const inner = cluster.openPack.bind(cluster);
    const opened: number[] = [];
    cluster.openPack = async (id) => {
      const pack = await inner(id);
      const read = pack.read.bind(pack);
      pack.read = (blob) => {
        opened.push(own.findIndex(({ blob: { offset } }) => offset === blob.offset));
        return read(blob);
      };
      return pack;
    };
    const reader = new ExtentReader(cluster);
    const parts = [page(0, 0), page(0, 1), page(0, 3), page(1, 1), page(3, 0), page(3, 3), page(6, 2)];
    await reader.read(parts, (bytes, extent) => {
      const at = own.findIndex(({ blob }) => blob.offset === extent.blob.offset) * 32_768 + extent.blobOffset;
      assert.deepEqual(Buffer.from(bytes), made.content.subarray(at, at + 8192));
    });
    assert.deepEqual(opened, [0, 1, 3, 6]);
    // The header of the pack; blobs 0 to 3 with number 2, which is not wanted; then blob 6, behind two that are not.
    assert.equal(readsOf(made), 1 + 2);
    await reader.close();
  });

  it('keeps a bounded number of packs open', async () => {
    const made = await packed(70, 1, 512);
    let open = 0;
    let most = 0;
    const { cluster } = made;
    const inner = cluster.openPack.bind(cluster);
    cluster.openPack = async (id) => {
      const pack = await inner(id);
      const close = pack.close.bind(pack);
      open += 1;
      most = Math.max(most, open);
      pack.close = async () => {
        open -= 1;
        await close();
      };
      return pack;
    };
    const reader = new ExtentReader(cluster);
    const extents = made.extents.flat();
    assert.deepEqual(await readAll(reader, [...extents, ...extents], made.content.length), made.content);
    assert.equal(most, 64);
    await reader.close();
    assert.equal(open, 0);
  });

  it('takes nothing of a file without content', async () => {
    const made = await packed(1, 1);
    const reader = new ExtentReader(made.cluster);
    await reader.read([], () => assert.fail('something of nothing'));
    assert.equal(made.counting.operations.length, 0);
  });

  const damages: readonly (readonly [
    string,
    ErrorCode,
    (bytes: Uint8Array, made: Packed) => Uint8Array | undefined,
  ])[] = [
    ['missing', 'object-missing', () => undefined],
    ['cut off', 'object-damaged', (bytes) => bytes.subarray(0, 100_000)],
    ['another one', 'object-swapped', (_, made) => made.memory.objects.get(keyOf(made, 1))],
    [
      'damaged',
      'blob-damaged',
      (bytes) => {
        const copy = Uint8Array.from(bytes);
        copy[100_000] = (copy[100_000] ?? 0) ^ 4;
        return copy;
      },
    ],
  ];
  for (const [what, code, damage] of damages) {
    it(`refuses a pack that is ${what}`, async () => {
      const made = await packed(2, 4);
      const key = keyOf(made, 0);
      const changed = damage(made.memory.objects.get(key) ?? new Uint8Array(0), made);
      if (changed) made.memory.objects.set(key, changed);
      else made.memory.objects.delete(key);
      const reader = new ExtentReader(made.cluster);
      await assert.rejects(readAll(reader, made.extents.flat(), made.content.length), (error) => hasCode(error, code));
      await reader.close();
    });
  }
});

function keyOf({ extents }: Packed, number: number): string {
  const pack: PackId | undefined = extents[number]?.[0]?.pack;
  return `clusters/main/packs/${pack}`;
}
