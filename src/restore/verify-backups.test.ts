import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { reopened } from '../../test/support/made-up-backup.ts';
import { SummedBackups, type FileChange } from '../../test/support/summed-backups.ts';
import { countingBytes, noon, testRepository } from '../../test/support/test-repository.ts';
import { summedBytes } from '../repository/block-sums.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { Extent } from '../repository/file-map.ts';
import { BlobSet } from '../repository/blob-set.ts';
import { moveBlobs } from '../repository/move-blobs.ts';
import type { PackId } from '../repository/pack-id.ts';
import type { Repository } from '../repository/repository.ts';
import { rewriteManifest } from '../repository/rewrite-manifest.ts';
import { sweep } from '../repository/sweep.ts';
import { expireBackup } from '../repository/tombstone.ts';
import { VerifiedNotes } from '../repository/verified-notes.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { loadFile } from './verify-walk.ts';
import type { BackupsOptions } from './backups-verification.ts';
import { verifyBackups, type VerifiedBackups } from './verify-backups.ts';
import type { Verifying } from './verify-items.ts';
import { verifyHere } from './verifying.ts';

const block = summedBytes;
const dayMs = 86_400_000;

interface Run extends VerifiedBackups {
  /** Blobs of content that were read, as often as they were. */
  readonly read: readonly string[];
  readonly harmed: readonly string[];
}

async function verify(
  cluster: ClusterRepository,
  options: {
    readonly sinceMs?: number;
    readonly now?: () => Date;
    /** Happens before the first blob is read. */
    readonly meanwhile?: () => Promise<void>;
  } & Partial<BackupsOptions> = {},
): Promise<Run> {
  const { sinceMs, now = noon, meanwhile, ...changes } = options;
  const notes = changes.notes ?? (await VerifiedNotes.open(cluster, { now, sinceMs }));
  const read: string[] = [];
  const inner = verifyHere(cluster);
  const verifying: Verifying = {
    ...inner,
    verify: async (items) => {
      const blobs = items.flatMap((item) => [
        ...new Set(item.content.map(({ pack, blob }) => `${pack} ${blob.offset}`)),
      ]);
      if (read.length === 0) await meanwhile?.();
      read.push(...blobs);
      return inner.verify(items);
    },
  };
  const found = await verifyBackups({
    cluster,
    records: await cluster.listBackups(),
    alsoElsewhere: new Set(),
    notes,
    verifying,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    onTotal: () => undefined,
    say: () => undefined,
    ...changes,
  });
  await notes.save();
  await inner.close();
  return {
    ...found,
    read,
    harmed: found.verdicts.filter(({ damage }) => damage.length > 0).map(({ backup }) => backup),
  };
}

async function made(): Promise<{ repository: Repository; storage: MemoryStorage; backups: SummedBackups }> {
  const storage = new MemoryStorage();
  const repository = await testRepository({ storage });
  return { repository, storage, backups: new SummedBackups(repository.cluster('main'), countingBytes('content')) };
}

/** A full, two that build on each other, and a file that only the first one has as it was. */
async function history(backups: SummedBackups): Promise<void> {
  await backups.add('1-full', {
    'base/1': { sizeBytes: 9 * block, changed: [] },
    'base/2': { sizeBytes: 3 * block + 100, changed: [] },
    PG_VERSION: { sizeBytes: 3, changed: [] },
  });
  await backups.add('2-incremental', { 'base/1': { sizeBytes: 9 * block, changed: [4, 8] } });
  await backups.add('3-incremental', {
    'base/1': { sizeBytes: 9 * block, changed: [5] },
    'base/2': { sizeBytes: 4 * block, changed: [] },
  });
}

function flip(storage: MemoryStorage, key: string, at: number): void {
  const bytes = Buffer.from(storage.objects.get(key) ?? '');
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  storage.objects.set(key, bytes);
}

interface Referred {
  readonly id: string;
  readonly path: string;
  readonly extent: Extent;
  readonly what: 'content' | 'sums';
}

async function everyExtent(cluster: ClusterRepository): Promise<Referred[]> {
  const all: Referred[] = [];
  for (const { id } of await cluster.listBackups()) {
    await using manifest = await cluster.openManifest(id);
    for await (const entry of manifest.entries()) {
      if (entry.kind !== 'file') continue;
      const { extents, sums } = await loadFile(entry);
      for (const extent of extents) all.push({ id, path: entry.path, extent, what: 'content' });
      for (const extent of sums) all.push({ id, path: entry.path, extent, what: 'sums' });
    }
  }
  return all;
}

function nameOf({ pack, blob }: Extent): string {
  return `${pack} ${blob.offset}`;
}

describe('backups that share packs', () => {
  it('are read once, the oldest as it is, the others where they differ from it', async () => {
    const { backups } = await made();
    await history(backups);
    const { verdicts, harmed, read } = await verify(backups.cluster);
    assert.deepEqual(harmed, []);
    assert.deepEqual(
      verdicts.map(({ backup, files }) => [backup, files]),
      [
        ['1-full', 3],
        ['2-incremental', 3],
        ['3-incremental', 3],
      ],
    );
    const content = (await everyExtent(backups.cluster)).filter(({ what }) => what === 'content');
    const blobs = new Set(content.map(({ extent }) => nameOf(extent)));
    assert.deepEqual(new Set(read), blobs, 'every blob that somebody refers to');
    assert.equal(read.length, blobs.size, 'and none twice');
  });

  it('whatever blob is damaged, those that refer to it are harmed, in these blocks, and nobody else', async () => {
    const { repository, storage, backups } = await made();
    await history(backups);
    const all = await everyExtent(backups.cluster);
    for (const name of new Set(all.map(({ extent }) => nameOf(extent)))) {
      const concerned = all.filter(({ extent }) => nameOf(extent) === name);
      const [one] = concerned;
      assert.ok(one);
      const copy = new MemoryStorage();
      for (const [key, bytes] of storage.objects) copy.objects.set(key, bytes);
      flip(copy, `clusters/main/packs/${one.extent.pack}`, one.extent.blob.offset + 5);
      const { verdicts, harmed } = await verify(reopened(repository, copy));
      assert.deepEqual(harmed, [...new Set(concerned.map(({ id }) => id))], name);
      for (const { backup, damage } of verdicts) {
        const own = concerned.filter(({ id }) => id === backup);
        for (const { path, extent, what } of own) {
          const found = damage.filter((problem) => problem.path === path && problem.code === 'blob-damaged');
          const [first, last] = [extent.fileOffset, extent.fileOffset + extent.lengthBytes - 1].map((at) =>
            Math.floor(at / block),
          );
          const isNamed = found.some(({ blocks = [] }) =>
            blocks.some(([from, to]) => from <= (first ?? 0) && to >= (last ?? 0)),
          );
          assert.ok(what === 'sums' ? found.length > 0 : isNamed, `${backup} ${path} ${String(first)}`);
        }
        const paths = new Set(own.map(({ path }) => path));
        for (const { path } of damage) assert.ok(paths.has(path), `${backup}: ${path} is not harmed`);
      }
    }
  });

  it('are harmed by a map that leads to another place, and only the one that has it', async () => {
    const { backups } = await made();
    const wrongPlace = (entry: { path: string; extents: readonly Extent[] }): { extents: readonly Extent[] } => {
      const [first, second, ...rest] = entry.extents;
      if (entry.path !== 'base/1' || !first || !second) return { extents: entry.extents };
      return { extents: [first, { ...second, blob: first.blob, blobOffset: first.blobOffset }, ...rest] };
    };
    const files = { 'base/1': { sizeBytes: 6 * block, changed: [] }, 'base/2': { sizeBytes: 2 * block, changed: [] } };
    await backups.add('1-full', files);
    await backups.add(
      '2-incremental',
      { 'base/2': { sizeBytes: 2 * block, changed: [1] } },
      { edit: (entry) => ({ ...entry, ...wrongPlace(entry) }) },
    );
    await backups.add('3-incremental', { 'base/2': { sizeBytes: 2 * block, changed: [0] } });
    const { verdicts, harmed } = await verify(backups.cluster);
    assert.deepEqual(harmed, ['2-incremental']);
    const [problem] = verdicts[1]?.damage ?? [];
    assert.deepEqual([problem?.path, problem?.code, problem?.blocks], ['base/1', 'object-damaged', [[1, 1]]]);
    assert.match(problem?.message ?? '', /sum of the block differs/);
  });

  it('are harmed by a CRC that is not that of their blocks', async () => {
    const { backups } = await made();
    await backups.add('1-full', { 'base/1': { sizeBytes: 2 * block, changed: [] } });
    await backups.add(
      '2-incremental',
      { 'base/1': { sizeBytes: 2 * block, changed: [1] } },
      { edit: (entry) => ({ ...entry, crc32c: (entry.crc32c ^ 1) >>> 0 }) },
    );
    const { verdicts, harmed } = await verify(backups.cluster);
    assert.deepEqual(harmed, ['2-incremental']);
    assert.match(verdicts[1]?.damage[0]?.message ?? '', /CRC-32C differs/);
  });

  it('of files without sums are compared with their CRC', async () => {
    const { storage, backups } = await made();
    const without = { edit: (entry: { sums: readonly Extent[] }) => ({ ...entry, sums: [] }) as never };
    await backups.add('1-full', { 'base/1': { sizeBytes: 2 * block + 5, changed: [] } }, without);
    await backups.add('2-full', { 'base/2': { sizeBytes: 100, changed: [] } }, without);
    assert.deepEqual((await verify(backups.cluster)).harmed, []);
    const [first] = await everyExtent(backups.cluster);
    assert.ok(first);
    flip(storage, `clusters/main/packs/${first.extent.pack}`, first.extent.blob.offset + 5);
    assert.deepEqual((await verify(backups.cluster)).harmed, ['1-full', '2-full']);
  });
});

/** What a sequence of backups does to two files. */
const change: fc.Arbitrary<FileChange> = fc.record(
  { sizeBytes: fc.integer({ min: 0, max: 6 * block + 10 }), changed: fc.array(fc.nat(6), { maxLength: 3 }) },
  { noNullPrototype: true },
);
const sequences = fc.array(
  fc.record({ a: fc.option(change, { nil: undefined }), b: fc.option(change, { nil: undefined }) }),
  { minLength: 1, maxLength: 6 },
);

describe('any sequence of backups', () => {
  it('is good, is read once, and shows whoever refers to a damaged blob', async () => {
    await fc.assert(
      fc.asyncProperty(sequences, fc.nat(1000), async (sequence, chosen) => {
        const { storage, backups: builder } = await made();
        for (const [i, { a, b }] of sequence.entries()) {
          await builder.add(`${i}-backup`, { ...(a ? { 'base/1': a } : {}), ...(b ? { 'base/2': b } : {}) });
        }
        const { cluster } = builder;
        const all = await everyExtent(cluster);
        const good = await verify(cluster);
        assert.deepEqual(good.harmed, []);
        const content = all.filter(({ what }) => what === 'content').map(({ extent }) => nameOf(extent));
        assert.deepEqual(new Set(good.read), new Set(content));
        assert.equal(good.read.length, new Set(content).size, 'no blob twice');
        if (all.length === 0) return;
        const known = await verify(cluster, { sinceMs: dayMs });
        assert.deepEqual([known.read, known.packs.read], [[], 0]);

        const one = all[chosen % all.length];
        assert.ok(one);
        flip(storage, `clusters/main/packs/${one.extent.pack}`, one.extent.blob.offset);
        const expected = all.filter(({ extent }) => nameOf(extent) === nameOf(one.extent)).map(({ id }) => id);
        assert.deepEqual((await verify(cluster)).harmed, [...new Set(expected)]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('what was verified not long ago', () => {
  it('is not read again until it is due; what is new is', async () => {
    const { backups } = await made();
    await history(backups);
    await verify(backups.cluster);
    const later = (days: number) => (): Date => new Date(noon().getTime() + days * dayMs);
    const again = await verify(backups.cluster, { sinceMs: 7 * dayMs, now: later(3) });
    assert.deepEqual([again.read, again.packs, again.harmed], [[], { read: 0, known: 3 }, []]);
    await backups.add('4-incremental', { 'base/1': { sizeBytes: 9 * block, changed: [0] } });
    const more = await verify(backups.cluster, { sinceMs: 7 * dayMs, now: later(4) });
    assert.deepEqual([more.read.length, more.packs, more.harmed], [1, { read: 1, known: 3 }, []]);
    const due = await verify(backups.cluster, { sinceMs: 7 * dayMs, now: later(8) });
    assert.deepEqual(due.packs, { read: 3, known: 1 });
    assert.ok(due.read.length > 3);
    const everything = await verify(backups.cluster, { now: later(8) });
    assert.deepEqual(everything.packs, { read: 4, known: 0 });
  });

  it('is read again where it was found damaged', async () => {
    const { storage, backups } = await made();
    await history(backups);
    await verify(backups.cluster);
    const all = await everyExtent(backups.cluster);
    const one = all.find(({ id, path }) => id === '1-full' && path === 'base/2');
    assert.ok(one);
    flip(storage, `clusters/main/packs/${one.extent.pack}`, one.extent.blob.offset + 1);
    assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).harmed, [], 'not looked at');
    const found = await verify(backups.cluster);
    assert.ok(found.harmed.length > 0);
    assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).harmed, found.harmed, 'nor forgotten');
  });

  it('is missed when it is gone or has another size', async () => {
    const { storage, backups } = await made();
    await history(backups);
    await verify(backups.cluster);
    const [record] = await backups.cluster.listBackups();
    const key = `clusters/main/packs/${record?.packs[0]}`;
    const whole = storage.objects.get(key) ?? new Uint8Array();
    storage.objects.set(key, whole.subarray(0, whole.length - 1));
    assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).harmed.length, 3);
    storage.objects.delete(key);
    const { verdicts, harmed } = await verify(backups.cluster, { sinceMs: dayMs });
    assert.equal(harmed.length, 3);
    for (const { damage } of verdicts) assert.ok(damage.some(({ code }) => code === 'object-missing'));
  });

  it('is forgotten with what keeps it, at the price of reading', async () => {
    const { storage, backups } = await made();
    await history(backups);
    const first = await verify(backups.cluster);
    for (const harm of [
      () => flip(storage, 'clusters/main/verified', 90),
      () => void storage.objects.delete('clusters/main/verified'),
      () => void storage.objects.set('clusters/main/verified', Buffer.from('nothing')),
    ]) {
      harm();
      const again = await verify(backups.cluster, { sinceMs: dayMs });
      assert.deepEqual([again.read.length, again.harmed], [first.read.length, []]);
      assert.deepEqual((await verify(backups.cluster, { sinceMs: dayMs })).read, [], 'noted anew');
    }
  });

  it('by a clock that was ahead does not count', async () => {
    const { backups } = await made();
    await history(backups);
    await verify(backups.cluster, { now: () => new Date(noon().getTime() + 400 * dayMs) });
    assert.equal((await verify(backups.cluster, { sinceMs: dayMs })).packs.known, 0);
    assert.equal((await verify(backups.cluster, { sinceMs: dayMs })).packs.known, 3, 'the wrong clock is forgotten');
  });

  it('of one backup alone says nothing of packs that others share', async () => {
    const { backups } = await made();
    await history(backups);
    const records = await backups.cluster.listBackups();
    const [full, ...others] = records;
    assert.ok(full);
    const alsoElsewhere = new Set(others.flatMap(({ packs }) => packs));
    assert.deepEqual((await verify(backups.cluster, { records: [full], alsoElsewhere })).harmed, []);
    assert.equal((await verify(backups.cluster, { sinceMs: dayMs })).packs.known, 0);
  });
});

describe('a backup that goes away while it is verified', () => {
  it('is no damage', async () => {
    const { backups } = await made();
    await history(backups);
    const { cluster } = backups;
    const { harmed, expired, verdicts } = await verify(cluster, {
      meanwhile: async () => {
        await expireBackup(cluster, '1-full', noon());
        await sweep(cluster, { alone: false, signal: new AbortController().signal, say: () => undefined });
      },
    });
    assert.deepEqual([harmed, expired], [[], ['1-full']]);
    assert.deepEqual(
      verdicts.map(({ backup }) => backup),
      ['2-incremental', '3-incremental'],
    );
  });

  it('is verified anew where it was repacked', async () => {
    const { backups } = await made();
    await history(backups);
    const { cluster } = backups;
    const records = await cluster.listBackups();
    const repacked = await verify(cluster, { meanwhile: async () => repackAll(cluster) });
    assert.deepEqual([repacked.harmed, repacked.expired], [[], []]);
    assert.equal(repacked.verdicts.length, 3);
    for (const { id, packs } of await cluster.listBackups()) {
      assert.notDeepEqual(packs, records.find((record) => record.id === id)?.packs, 'it lies elsewhere now');
    }
  });
});

/** As a sweep does with packs that are mostly dead. */
async function repackAll(cluster: ClusterRepository): Promise<void> {
  const sets = new Map<PackId, BlobSet>();
  for (const { extent } of await everyExtent(cluster)) {
    const set = sets.get(extent.pack) ?? new BlobSet();
    sets.set(extent.pack, set);
    set.add(extent.blob);
  }
  const { signal } = new AbortController();
  const moved = await moveBlobs(cluster, sets, { signal, onDamaged: (_, error) => assert.fail(error) });
  for (const record of await cluster.listBackups()) await rewriteManifest(cluster, record, moved);
  for (const pack of sets.keys()) await cluster.deletePack(pack);
}
