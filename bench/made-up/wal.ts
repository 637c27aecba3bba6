import { hash } from 'node:crypto';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeGroups } from '../../src/archive/roll-up.ts';
import { encodeSummary, summarize, type SegmentSummary } from '../../src/archive/segment-summary.ts';
import { walObjectName } from '../../src/archive/wal-keys.ts';
import type { WalStore } from '../../src/archive/wal-store.ts';
import { ByteWriter } from '../../src/bytes/byte-writer.ts';
import { formatSegmentName, segmentNumber, segmentStart, type SegmentNumber } from '../../src/postgres/segment-name.ts';
import { formatHistory, type HistoryEntry } from '../../src/postgres/timeline-history.ts';
import { formatTimeline, type Timeline } from '../../src/postgres/timeline.ts';
import { encodeSegmentIndex } from '../../src/wal/segment-index-codec.ts';
import type { SegmentIndex } from '../../src/wal/segment-index.ts';
import { endOf, type Run } from './layout.ts';
import { makeUpBeginning, makeUpIndex, segmentBytes } from './segment.ts';

/** A file system lets one file have some tens of thousands of names (ext4: 65,000). */
const namesOfOneFile = 60_000;

/**
 * Fills a repository with the archive of `runs` as years of archiving would have left it: the index of every segment,
 * rolled up by log and by 256 logs wherever the program would have done so, histories, and the beginning of each
 * segment in which a timeline was left. Of the segments themselves only the names are there.
 */
export class WalMaker {
  readonly #store: WalStore;
  readonly #clusterDirectory: string;
  readonly #directoryOfEmptyFiles: string;
  #named = 0;
  #empty = '';

  constructor(store: WalStore, repositoryDirectory: string, directoryOfEmptyFiles: string) {
    this.#store = store;
    this.#clusterDirectory = join(repositoryDirectory, 'clusters', store.cluster.name);
    this.#directoryOfEmptyFiles = directoryOfEmptyFiles;
  }

  async make(runs: readonly Run[]): Promise<void> {
    for (const timeline of new Set(runs.map((run) => run.timeline))) {
      await this.#makeTimeline(
        timeline,
        runs.filter((run) => run.timeline === timeline),
      );
    }
    await this.#leaveTimelines(runs);
    const last = runs.at(-1);
    if (last) await writeGroups(this.#store, { timeline: last.timeline, log: this.#store.keys.logOf(endOf(last)) });
  }

  async #makeTimeline(timeline: Timeline, runs: readonly Run[]): Promise<void> {
    const perLog = BigInt(this.#store.keys.segmentsPerLog);
    for (const run of runs) {
      for (let first = run.first; first < endOf(run);) {
        const log = this.#store.keys.logOf(first);
        const next = segmentNumber((log + 1n) * perLog);
        const end = next < endOf(run) ? next : endOf(run);
        this.#nameSegments(timeline, log, first, end);
        await this.#indexLog(run, log, first, end);
        first = end;
      }
    }
  }

  /** An object of every segment's name, all of them one empty file. */
  #nameSegments(timeline: Timeline, log: bigint, first: SegmentNumber, end: SegmentNumber): void {
    const folder = join(this.#clusterDirectory, this.#store.keys.logFolder(timeline, log));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (let number = first; number < end; number = segmentNumber(number + 1n)) {
      if (this.#named % namesOfOneFile === 0) {
        this.#empty = join(this.#directoryOfEmptyFiles, `empty-${this.#named}`);
        writeFileSync(this.#empty, '', { mode: 0o600 });
      }
      this.#named += 1;
      const segment = formatSegmentName({ timeline, number }, segmentBytes);
      linkSync(this.#empty, join(folder, walObjectName({ segment, kind: 'segment', digest: hash('sha256', segment) })));
    }
  }

  async #indexLog(run: Run, log: bigint, first: SegmentNumber, end: SegmentNumber): Promise<void> {
    const { index, keys, cluster } = this.#store;
    const made: SegmentIndex[] = [];
    for (let number = first; number < end; number = segmentNumber(number + 1n)) {
      made.push(makeUpIndex(run.timeline, number, run.firstOverall + Number(number - run.first)));
    }
    if (made.length < keys.segmentsPerLog) {
      for (const [i, one] of made.entries()) {
        await index.write({ timeline: run.timeline, number: segmentNumber(first + BigInt(i)) }, one);
      }
      return;
    }
    const summaries: SegmentSummary[] = made.map(summarize);
    const encoded = new ByteWriter(summaries.length * 64);
    for (const summary of summaries) encodeSummary(summary, encoded);
    await cluster.putSealedParts(keys.logIndexKey(run.timeline, log), [
      encoded.view(),
      ...made.map(encodeSegmentIndex),
    ]);
  }

  async #leaveTimelines(runs: readonly Run[]): Promise<void> {
    const parents: HistoryEntry[] = [];
    for (const [i, run] of runs.entries()) {
      const before = runs[i - 1];
      if (!before || before.timeline === run.timeline) continue;
      const name = formatSegmentName({ timeline: before.timeline, number: run.first }, segmentBytes);
      await this.#store.putPartial(name, makeUpBeginning(before.timeline, run.first));
      const switchLsn = segmentStart(run.first, segmentBytes);
      parents.push({ timeline: before.timeline, switchLsn, reason: 'no recovery target specified' });
      const history = formatHistory({ timeline: run.timeline, parents });
      await this.#store.putHistory(`${formatTimeline(run.timeline)}.history`, Buffer.from(history));
    }
  }
}

/** For a report: how many objects of each kind the index has. */
export function countIndexObjects(
  runs: readonly Run[],
  perLog: number,
): { readonly logs: number; readonly single: number } {
  let logs = 0;
  let single = 0;
  for (const run of runs) {
    const firstWhole = (run.first + BigInt(perLog) - 1n) / BigInt(perLog);
    const endWhole = endOf(run) / BigInt(perLog);
    const whole = endWhole > firstWhole ? Number(endWhole - firstWhole) : 0;
    logs += whole;
    single += run.count - whole * perLog;
  }
  return { logs, single };
}
