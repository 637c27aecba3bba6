import { formatSegmentName, parseSegmentName, segmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import type { VerifiedNotes } from '../repository/verified-notes.ts';
import { UnderWay } from '../threads/under-way.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { ArchiveWorkerData } from './archive-threads.ts';
import { LogContents } from './log-contents.ts';
import { LogVerification, isWithin, type WantedSegments } from './verify-log.ts';
import type { VerifiedWalObjects, VerifyWalTask, WalDamage } from './verify-wal-items.ts';
import { loadExpired, readExpired, touches } from './expired-wal.ts';
import { orDamage } from './verify-wal-objects.ts';
import { formatLog } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

export interface VerifyWalOptions {
  readonly access: RepositoryAccess;
  readonly jobs: number;
  readonly signal: AbortSignal;
  /** What was found good before, and what is. */
  readonly notes: VerifiedNotes;
  readonly onProgress: (bytes: number) => void;
  readonly only?: WantedSegments;
}

export interface VerifiedWal {
  readonly segments: number;
  /** How many of them were found good not long ago, and not read. */
  readonly known: number;
  readonly damage: readonly WalDamage[];
  readonly withoutIndex: readonly string[];
}

/**
 * Reads archived WAL, in threads and in memory that does not grow with the archive: every object of it that is not known to
 * be good as it is.
 */
export async function verifyWal(store: WalStore, options: VerifyWalOptions): Promise<VerifiedWal> {
  const { signal, jobs, only } = options;
  const found = { segments: 0, damage: [] as WalDamage[], withoutIndex: [] as string[], known: 0 };
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
  const send = async (task: VerifyWalTask, log: LogVerification): Promise<void> => {
    underWay.start(
      log.run(async () => {
        const result = await pool.run(task);
        options.onProgress(result.bytes);
        found.damage.push(...result.damage);
        return result.damage;
      }),
    );
    await underWay.fewerThan(jobs * 2);
  };
  const isWanted = (name: string): boolean => isWithin(name, only);
  try {
    for (const timeline of await store.listTimelines()) {
      const before = new Neighbours(store, timeline, found.damage);
      for (const number of await store.listLogs(timeline)) {
        signal.throwIfAborted();
        const there = await LogContents.read(store, timeline, number);
        const log = new LogVerification(there, options, store.keys.segmentsPerLog);
        const segments = there.segments.filter(isWanted);
        for (const name of segments) before.meet(name);
        found.segments += segments.length;
        found.withoutIndex.push(...there.withoutIndex.filter(isWanted));
        const known = segments.length - log.segmentsToRead;
        found.known += known;
        options.onProgress(known * store.segmentBytes);
        for (const task of log.tasks(timeline, number)) await send(task, log);
        if (!only && (log.readsRollUp || segments.length < store.keys.segmentsPerLog)) {
          log.note(await verifyRolledUp(store, timeline, number, segments.length, found.damage));
        }
        await log.end();
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
): Promise<readonly WalDamage[]> {
  const name = `${formatLog(log)}.log`;
  const found: WalDamage[] = [];
  const summaries = await orDamage(found, { task: { timeline }, name, what: 'index' }, async () =>
    store.index.readLogSummaries(timeline, log),
  );
  damage.push(...found);
  if (!summaries || segments >= summaries.length) return found;
  const there = new Set((await store.listLog(timeline, log)).map(({ segment }) => segment));
  const expired = await readExpired(store, timeline);
  for (let place = 0n; place < BigInt(summaries.length); place += 1n) {
    const number = segmentNumber(store.keys.firstOfLog(log) + place);
    const missing = formatSegmentName({ timeline, number }, store.segmentBytes);
    if (there.has(missing) || touches(expired, number, number)) continue;
    const message = `segment ${missing} is gone, although its index is there`;
    damage.push({ timeline, name: missing, what: 'content', code: 'object-missing', message });
  }
  return found;
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
