import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { summedBytes } from '../../src/repository/block-sums.ts';
import { VerifiedNotes } from '../../src/repository/verified-notes.ts';
import type { BackupsOptions } from '../../src/restore/backups-verification.ts';
import { verifyBackups, type VerifiedBackups } from '../../src/restore/verify-backups.ts';
import type { Verifying } from '../../src/restore/verify-items.ts';
import { loadFile } from '../../src/restore/verify-walk.ts';
import { verifyHere } from '../../src/restore/verifying.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { SummedBackups } from './summed-backups.ts';
import { countingBytes, noon, testRepository } from './test-repository.ts';

/* Backups that share packs, and `verify` on them in this thread. */

/** Bytes of a block. */
export const block = summedBytes;
export const dayMs = 86_400_000;

export interface Run extends VerifiedBackups {
  /** Blobs of content that were read, as often as they were. */
  readonly read: readonly string[];
  readonly harmed: readonly string[];
}

export async function verify(
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

export async function made(): Promise<{ repository: Repository; storage: MemoryStorage; backups: SummedBackups }> {
  const storage = new MemoryStorage();
  const repository = await testRepository({ storage });
  return { repository, storage, backups: new SummedBackups(repository.cluster('main'), countingBytes('content')) };
}

/** A full, two that build on each other, and a file that only the first one has as it was. */
export async function history(backups: SummedBackups): Promise<void> {
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

export function flip(storage: MemoryStorage, key: string, at: number): void {
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

export async function everyExtent(cluster: ClusterRepository): Promise<Referred[]> {
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

export function nameOf({ pack, blob }: Extent): string {
  return `${pack} ${blob.offset}`;
}
