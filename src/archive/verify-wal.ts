import { formatSegmentName, parseSegmentName, segmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { UnderWay } from '../threads/under-way.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import type { VerifiedWalObjects, VerifyWalTask, WalDamage } from './verify-wal-items.ts';
import { loadExpired, readExpired, touches } from './expired-wal.ts';
import { orDamage } from './verify-wal-objects.ts';
import { formatLog, parseWalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

export interface VerifyWalOptions {
  readonly access: RepositoryAccess;
  readonly jobs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  /** Segments from `first` to `last`, by name, on their timeline; everything where absent. */
  readonly only?: { readonly first: string; readonly last: string };
}

export interface VerifiedWal {
  readonly segments: number;
  readonly damage: readonly WalDamage[];
  readonly withoutIndex: readonly string[];
}

/** Objects to a task: some hundred megabytes of WAL. */
const taskObjects = 16;

/** Reads archived WAL whole, every object of it, in threads; in memory that does not grow with the archive. */
export async function verifyWal(store: WalStore, options: VerifyWalOptions): Promise<VerifiedWal> {
  const { signal, jobs, only } = options;
  const found = { segments: 0, damage: [] as WalDamage[], withoutIndex: [] as string[] };
  const pool = new WorkerPool<VerifyWalTask, VerifiedWalObjects>({
    module: workerModule('verify-wal-worker', import.meta.url),
    size: jobs,
    workerData: {
      access: options.access,
      cluster: store.cluster.name,
      incarnation: store.incarnation,
    } satisfies ArchiveWorkerData,
  });
  const underWay = new UnderWay();
  const read = async (task: VerifyWalTask): Promise<void> => {
    const result = await pool.run(task);
    options.onProgress(result.bytes);
    found.damage.push(...result.damage);
    found.withoutIndex.push(...result.withoutIndex);
  };
  try {
    for (const timeline of await store.listTimelines()) {
      const before = new Neighbours(store, timeline, found.damage);
      for (const log of await store.listLogs(timeline)) {
        signal.throwIfAborted();
        const names = (await store.cluster.listNames(store.keys.logFolder(timeline, log))).filter((name) =>
          isWanted(name, only),
        );
        const segments = names.map(parseWalObjectName).filter((name) => name?.kind === 'segment');
        found.segments += segments.length;
        for (const name of segments) before.meet(name?.segment ?? '');
        for (let i = 0; i < names.length; i += taskObjects) {
          underWay.start(read({ timeline, log, names: names.slice(i, i + taskObjects) }));
          await underWay.fewerThan(jobs * 2);
        }
        if (!only) await verifyRolledUp(store, timeline, log, segments.length, found.damage);
      }
    }
    if (!only) await verifyRest(store, found.damage);
    await underWay.allDone();
  } finally {
    await pool.close();
  }
  const order = (a: WalDamage, b: WalDamage): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return { ...found, damage: found.damage.toSorted(order) };
}

function isWanted(name: string, only: VerifyWalOptions['only']): boolean {
  if (!only) return true;
  const segment = name.slice(0, 24);
  return segment >= only.first && segment <= only.last;
}

/** Finds two contents of one segment, which come one after the other. */
class Neighbours {
  readonly #store: WalStore;
  readonly #timeline: Timeline;
  readonly #damage: WalDamage[];
  #last = '';

  constructor(store: WalStore, timeline: Timeline, damage: WalDamage[]) {
    this.#store = store;
    this.#timeline = timeline;
    this.#damage = damage;
  }

  meet(name: string): void {
    parseSegmentName(name, this.#store.segmentBytes);
    if (name === this.#last) {
      this.#damage.push({
        timeline: this.#timeline,
        name,
        what: 'content',
        code: 'wal-other-content',
        message: `segment ${name} is archived with two contents, neither of which is taken for the right one`,
      });
    }
    this.#last = name;
  }
}

/** A log whose index is rolled up was whole once: a segment that it lacks now was expired, or lost. */
async function verifyRolledUp(
  store: WalStore,
  timeline: Timeline,
  log: bigint,
  segments: number,
  damage: WalDamage[],
): Promise<void> {
  const name = `${formatLog(log)}.log`;
  const summaries = await orDamage(damage, { task: { timeline }, name, what: 'index' }, async () =>
    store.index.readLogSummaries(timeline, log),
  );
  if (!summaries || segments >= summaries.length) return;
  const there = new Set((await store.listLog(timeline, log)).map(({ segment }) => segment));
  const expired = await readExpired(store, timeline);
  for (let place = 0n; place < BigInt(summaries.length); place += 1n) {
    const number = segmentNumber(store.keys.firstOfLog(log) + place);
    const missing = formatSegmentName({ timeline, number }, store.segmentBytes);
    if (there.has(missing) || touches(expired, number, number)) continue;
    const message = `segment ${missing} is gone, although its index is there`;
    damage.push({ timeline, name: missing, what: 'content', code: 'object-missing', message });
  }
}

/** Histories, and what is rolled up of many logs. */
async function verifyRest(store: WalStore, damage: WalDamage[]): Promise<void> {
  for (const name of await store.cluster.listNames(store.keys.walFolder)) {
    if (!name.endsWith('.history')) continue;
    const timeline = Number.parseInt(name.slice(0, 8), 16) as Timeline;
    await orDamage(damage, { task: { timeline }, name, what: 'content' }, async () => store.getHistory(name));
  }
  for (const timeline of await store.listTimelines()) {
    await orDamage(damage, { task: { timeline }, name: 'expired', what: 'index' }, async () =>
      loadExpired(store, timeline),
    );
    for (const name of await store.index.listNames(timeline)) {
      if (!name.endsWith('.group')) continue;
      await orDamage(damage, { task: { timeline }, name, what: 'index' }, async () =>
        store.index.readGroup(timeline, BigInt(`0x${name.slice(0, 6)}`)),
      );
    }
  }
}

/** Whether damage makes a recovery stop, or start, somewhere else; that of an index does not. */
export function isContentDamage({ what }: WalDamage): boolean {
  return what === 'content';
}
