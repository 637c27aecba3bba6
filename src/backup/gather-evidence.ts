import { setTimeout as sleep } from 'node:timers/promises';
import { readChangedBlocks } from '../archive/changed-blocks.ts';
import { segmentRuns, type SegmentRun } from '../archive/wal-stretch.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { lsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import {
  formatSegmentName,
  parseSegmentName,
  segmentNumber,
  segmentOf,
  segmentStart,
} from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import { readLocalWal } from './local-wal.ts';
import type { Evidence } from './look-at-file.ts';
import type { Reference } from './reference.ts';

/*
 * How a backup tells what is unchanged since its reference: by WAL, else by which files were changed and their contents, else by
 * contents alone. Each is asked only
 * where the better one does not tell everything, and the record says why.
 *
 * WAL is wanted up to where this backup starts. A primary finishes its segment when a backup begins (xlog.c,
 * do_pg_backup_start), but may have written on before the checkpoint; a standby stands anywhere. What is not in the
 * repository yet is brought there from pg_wal: segments that an archiver has not come to, and the beginning of the present one.
 */

export interface EvidenceSources {
  readonly store: WalStore;
  readonly dataDirectory: string;
  readonly reference: Reference;
  /** Why what WAL and times of files say of changes since the reference does not count, if it does not. */
  readonly unfit: string | undefined;
  /** Of the timeline that the backup starts on. */
  readonly history: TimelineHistory;
  readonly startLsn: Lsn;
  /** Of the checkpoint whose redo begins there, where it is known. */
  readonly checkpointLsn: Lsn | undefined;
  /** Up to where pg_wal has whole WAL. */
  readonly writtenLsn: () => Promise<Lsn>;
  readonly walTimeoutMs: number;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** A receiver stores a segment some time after the server has forgotten it; a gap further back stays one. */
const mayBeOnItsWay = 64n;
const mostPatienceMs = 20_000;
const pollMs = 100;

export interface GatheredEvidence {
  readonly evidence: Evidence;
  /** Why not the better evidence. */
  readonly fallback: string | undefined;
}

export async function gatherEvidence(sources: EvidenceSources): Promise<GatheredEvidence> {
  const { unfit, reference } = sources;
  const { record } = reference;
  if (unfit !== undefined) return { evidence: { kind: 'sums' }, fallback: unfit };
  const sinceLsn = parseLsn(record.startLsn);
  const byFiles = { kind: 'files' } as const;
  // A cold one says with which it was taken; hot ones are not taken with minimal.
  if (record.walLevel === 'minimal') {
    return { evidence: byFiles, fallback: `wal_level was minimal when ${record.id} was taken` };
  }
  const found = await readWithMissing(sources, sinceLsn);
  if ('unfit' in found) {
    return { evidence: found.otherWal === true ? { kind: 'sums' } : byFiles, fallback: found.unfit };
  }
  return { evidence: { kind: 'wal', changed: found.changed }, fallback: undefined };
}

async function readWithMissing(sources: EvidenceSources, sinceLsn: Lsn): ReturnType<typeof readChangedBlocks> {
  const { store, history, reference, startLsn, checkpointLsn, signal } = sources;
  // The checkpoints of both show that the WAL between them is this server's.
  const from = {
    timeline: timeline(reference.record.timeline),
    lsn: sinceLsn,
    checkpointLsn: parseLsn(reference.record.checkpointLsn),
  };
  const to = { timeline: history.timeline, lsn: startLsn, ...(checkpointLsn === undefined ? {} : { checkpointLsn }) };
  const stretch = { store, history, from, to, signal };
  const found = await readChangedBlocks(stretch);
  if (!('unfit' in found) || found.missing === undefined) return found;
  const end = { timeline: to.timeline, lsn: lsn((checkpointLsn ?? startLsn) + 1n) };
  const runs = segmentRuns(history, from, end, store.segmentBytes);
  if (typeof runs === 'string') return found;
  // From there on all may be missing.
  for (const name of namesFrom(runs, found.missing, store.segmentBytes)) {
    signal.throwIfAborted();
    if (await store.findSegment(name)) continue;
    if (!(await bring(sources, name)) && !(await comes(sources, name))) return found;
  }
  return readChangedBlocks(stretch);
}

function* namesFrom(runs: readonly SegmentRun[], first: string, segmentBytes: number): Generator<string> {
  let begun = false;
  for (const run of runs) {
    for (let number = run.first; number <= run.last; number = segmentNumber(number + 1n)) {
      const name = formatSegmentName({ timeline: run.timeline, number }, segmentBytes);
      begun ||= name === first;
      if (begun) yield name;
    }
  }
}

/** Whether somebody else brings it shortly. */
async function comes(sources: EvidenceSources, name: string): Promise<boolean> {
  const { store, startLsn, now, signal, say } = sources;
  const { number } = parseSegmentName(name, store.segmentBytes);
  if (segmentOf(startLsn, store.segmentBytes) - number > mayBeOnItsWay) return false;
  const deadlineMs = now().getTime() + Math.min(sources.walTimeoutMs, mostPatienceMs);
  if (now().getTime() < deadlineMs) say(`waiting for ${name} to be archived`);
  while (now().getTime() < deadlineMs) {
    await sleep(pollMs, undefined, { signal });
    if (await store.findSegment(name)) return true;
  }
  return false;
}

/** Stores a segment of pg_wal, or the beginning of the present one; `false` where it is not there. */
async function bring({ store, dataDirectory, writtenLsn }: EvidenceSources, name: string): Promise<boolean> {
  const { segmentBytes } = store;
  // Asked first: what the file has by then stays in it.
  const written = await writtenLsn();
  const bytes = readLocalWal(dataDirectory, name);
  if (bytes?.length !== segmentBytes) return false;
  const { number } = parseSegmentName(name, segmentBytes);
  const start = segmentStart(number, segmentBytes);
  if (written <= start) return false;
  if (segmentStart(segmentNumber(number + 1n), segmentBytes) <= written) {
    await store.putSegment(name, bytes);
  } else {
    // What lies behind may be half written, or left from an earlier use of the file.
    bytes.fill(0, Number(written - start));
    await store.putPartial(name, bytes);
  }
  return true;
}
