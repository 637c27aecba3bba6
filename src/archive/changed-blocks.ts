import { hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn, lsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumber, segmentOf } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { BlockTable } from '../wal/block-table.ts';
import { joinRecord } from '../wal/join-record.ts';
import { SegmentLinks } from '../wal/segment-links.ts';
import type { JoinedRecord, SegmentIndex } from '../wal/segment-index.ts';
import type { RelationFork, WalEvent } from '../wal/wal-event.ts';
import { isDamage } from './segment-facts.ts';
import { readIndexes } from './wal-catalogue.ts';
import { segmentRuns, type WalPosition } from './wal-stretch.ts';
import type { WalStore } from './wal-store.ts';

/*
 * Which blocks WAL says were changed between two positions, for a copy that reads nothing else. The rules are those of
 * PostgreSQL's own summaries (postmaster/walsummarizer.c, backup/basebackup_incremental.c), applied to the index that
 * was made when the segments were archived.
 *
 * The whole of the first and the last segment is taken. That a block too many is named costs reading it; that one is
 * missing would be a wrong page in a backup, so whatever is not certain makes the whole evidence unfit.
 */

export interface ChangedBlocks {
  /**
   * Of the blocks from `firstBlock` on and below `endBlock`; `undefined`: none changed. `whole`: all of them count (the
   * fork was created, dropped, cut there or its database replaced, or WAL does not tell of such a fork: free space map
   * and visibility map), and `blocks` is empty. Otherwise `blocks` are those that count, ascending and distinct,
   * also from where the fork was once cut to `endBlock`. Blocks beyond the reference's end of a file are for the caller
   * to take: the server adds empty pages that WAL does not mention.
   */
  of(
    relation: RelationFork,
    firstBlock: number,
    endBlock: number,
  ): { readonly whole: boolean; readonly blocks: Uint32Array } | undefined;
  /** Of blocks that count one by one. */
  readonly blockCount: number;
}

/**
 * `unfit`: why WAL cannot tell, for the user. `missing`: the segment to archive first, if that may be all that it takes.
 * `otherWal`: what is archived is, or may be, not what this server wrote between the two positions.
 */
export type Evidence =
  | { readonly changed: ChangedBlocks }
  | { readonly unfit: string; readonly missing?: string; readonly otherWal?: true };

export type Unfit = Exclude<Evidence, { readonly changed: ChangedBlocks }>;

/** Where a backup starts. */
export interface StartPosition extends WalPosition {
  /**
   * Of the checkpoint whose redo begins at the position. Where it is given, WAL must have it, and so is known to be the
   * WAL of this very server: one that was put back to an earlier state of its disk writes other WAL under the same names.
   */
  readonly checkpointLsn?: Lsn;
}

export interface Stretch {
  readonly store: WalStore;
  /** Of a timeline that both positions are in the past of. */
  readonly history: TimelineHistory;
  /** Where a record starts; wal_level was not minimal there (before 17, WAL tells only when it changes). */
  readonly from: StartPosition;
  /** Where a record starts, or will start. */
  readonly to: StartPosition;
  readonly signal: AbortSignal;
}

/**
 * Reads the index of every segment of the stretch, and the segment itself where it has none. The last segment may be
 * there as a beginning only (WalStore.putPartial), as long as that has the record at `to`, or the checkpoint. Throws what reading the repository throws, save
 * for damage, which makes the evidence unfit.
 */
export async function readChangedBlocks(stretch: Stretch): Promise<Evidence> {
  return gather(stretch, new Gathering(stretch.from, stretch.to, reasonIn));
}

/**
 * Why the archived WAL of the stretch is not, or may not be, one piece of WAL that this server wrote; `undefined` where it is.
 * Whether it tells every change does not count.
 */
export async function doubtsOfWal(stretch: Stretch): Promise<Unfit | undefined> {
  const found = await gather(stretch, new Gathering(stretch.from, stretch.to, () => undefined));
  return 'unfit' in found ? found : undefined;
}

async function gather(stretch: Stretch, gathering: Gathering): Promise<Evidence> {
  const { store, history, from, to, signal } = stretch;
  const { segmentBytes } = store;
  // the record at the end belongs to what is read, where that is a checkpoint to be seen
  const end = { timeline: to.timeline, lsn: to.checkpointLsn === undefined ? to.lsn : lsn(to.checkpointLsn + 1n) };
  const runs = segmentRuns(history, from, end, segmentBytes);
  if (typeof runs === 'string') return { unfit: runs, otherWal: true };
  for (const { timeline, first, last } of runs) {
    let next = first;
    const name = (): string => formatSegmentName({ timeline, number: next }, segmentBytes);
    try {
      for await (const index of readIndexes(store, timeline, first, last)) {
        signal.throwIfAborted();
        if (segmentOf(index.startLsn, segmentBytes) !== next) break;
        const unfit = gathering.add(index, name());
        if (unfit !== undefined) return unfit;
        next = segmentNumber(next + 1n);
      }
    } catch (error) {
      if (!isDamage(error) && !hasCode(error, 'object-missing')) throw error;
      return { unfit: `WAL segment ${name()} cannot be read: ${error.message}` };
    }
    if (next <= last) return { unfit: `WAL segment ${name()} is not in the archive`, missing: name() };
  }
  return gathering.finish();
}

/** Takes the indexes in the order of WAL, for as long as they leave no doubt. */
class Gathering {
  readonly #from: Lsn;
  readonly #to: Lsn;
  /** A whole record that starts here or later has to be there. */
  readonly #reach: Lsn;
  readonly #reasonIn: typeof reasonIn;
  /** Positions of checkpoints that were not met yet, and where their redo begins. */
  readonly #checkpoints = new Map<Lsn, Lsn>();
  readonly #links = new SegmentLinks();
  readonly #changed = new BlockTable();
  #last: { readonly index: SegmentIndex; readonly name: string } | undefined;

  constructor(from: StartPosition, to: StartPosition, why: typeof reasonIn) {
    this.#reasonIn = why;
    this.#from = from.lsn;
    this.#to = to.lsn;
    this.#reach = to.checkpointLsn ?? to.lsn;
    for (const { checkpointLsn, lsn: redoLsn } of [from, to]) {
      if (checkpointLsn !== undefined) this.#checkpoints.set(checkpointLsn, redoLsn);
    }
  }

  /** Why the evidence is unfit, if this index makes it so. */
  add(index: SegmentIndex, name: string): Unfit | undefined {
    if (index.problem !== undefined)
      return { unfit: `WAL segment ${name} cannot be read to its end: ${index.problem}` };
    const before = this.#last;
    if (before?.index.ending === 'end-of-wal') {
      return {
        unfit: `WAL segment ${before.name} is archived only up to ${formatLsn(before.index.usedEndLsn)}, and others follow it`,
        // An archiver stores several at once, in any order.
        missing: before.name,
        otherWal: true,
      };
    }
    if (!this.#links.follows(index)) {
      return { unfit: `WAL segment ${name} does not go on from where ${before?.name} ends`, otherWal: true };
    }
    this.#last = { index, name };
    if (before) {
      const joined = joinRecord(before.index, index);
      if (joined.problem !== undefined) {
        return { unfit: `WAL cannot be read from ${before.name} on to ${name}: ${joined.problem}`, otherWal: true };
      }
      const unfit = this.#take(joined);
      if (unfit !== undefined) return unfit;
    }
    return this.#take(index);
  }

  #take({ changes, events }: Pick<JoinedRecord, 'changes' | 'events'>): Unfit | undefined {
    for (const event of events) {
      const unfit = event.lsn >= this.#from && event.lsn < this.#to ? this.#reasonIn(event) : undefined;
      if (unfit !== undefined) return { unfit };
      if (event.kind === 'checkpoint') this.#meet(event.lsn, event.redoLsn);
    }
    this.#changed.add(changes);
    return undefined;
  }

  #meet(checkpointLsn: Lsn, redoLsn: Lsn): void {
    if (this.#checkpoints.get(checkpointLsn) === redoLsn) this.#checkpoints.delete(checkpointLsn);
  }

  finish(): Evidence {
    if (this.#last) {
      const { index, name } = this.#last;
      const reach = formatLsn(this.#reach);
      if (index.tail && index.tail.lsn < this.#reach) {
        return { unfit: `${reach} lies within the WAL record at ${formatLsn(index.tail.lsn)}` };
      }
      // A beginning ends with zeros in the midst of a record, maybe: only one that starts there or later proves that
      // all before it is there.
      if (index.ending === 'end-of-wal' && index.usedEndLsn <= this.#reach) {
        const end = formatLsn(index.usedEndLsn);
        return { unfit: `WAL segment ${name} is archived only up to ${end}, not beyond ${reach}`, missing: name };
      }
      // one that goes on in the next segment is in none of them
      if (index.tail) this.#checkpoints.delete(index.tail.lsn);
    }
    for (const [checkpointLsn, redoLsn] of this.#checkpoints) {
      return {
        unfit: `the archived WAL has no checkpoint at ${formatLsn(checkpointLsn)} that begins at ${formatLsn(redoLsn)}: another server wrote it, or this one before its disk was put back to an earlier state`,
        otherWal: true,
      };
    }
    return { changed: this.#changed };
  }
}

/** Why WAL does not tell of every change, where such a record is met. */
function reasonIn(event: WalEvent): string | undefined {
  switch (event.kind) {
    case 'checkpoint':
    case 'checkpoint-redo':
    case 'end-of-recovery':
    case 'parameter-change':
      if (event.walLevel !== 'minimal') return undefined;
      return `wal_level was minimal at ${formatLsn(event.lsn)}, so that WAL does not tell of every change`;
    case 'untracked-change':
      return `an extension (resource manager ${event.resourceManager}) changed files at ${formatLsn(event.lsn)} in a way that WAL does not tell`;
    default:
      return undefined;
  }
}
