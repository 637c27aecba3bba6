import { readIndexes, type WalCatalogue } from '../archive/wal-catalogue.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentBefore, segmentOf } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { joinRecord } from '../wal/join-record.ts';
import type { Commit, RestorePoint, SegmentIndex } from '../wal/segment-index.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import type { PathPart } from './restore-plan.ts';
import type { RecoveryRequest, RecoveryTarget } from './target.ts';

/*
 * Where PostgreSQL will stop, looked up in the WAL index by the rules of xlogrecovery.c
 * (recoveryStopsBefore, recoveryStopsAfter): times are compared at commits and aborts, the first that fits in
 * the order of WAL counts, restore points by name.
 */

export type FoundStop =
  | {
      readonly kind: 'record';
      readonly lsn: Lsn;
      readonly timeline: Timeline;
      readonly time: bigint | undefined;
      readonly warnings: readonly string[];
    }
  | { readonly kind: 'absent'; readonly reason: string; readonly suggestions: readonly string[] };

export interface Search {
  readonly request: RecoveryRequest;
  readonly from: { readonly timeline: Timeline; readonly lsn: Lsn };
  /** Up to where WAL can be replayed. */
  readonly until: Lsn;
}

/** What the records of one segment, with those across its boundary, have to say. */
interface Piece {
  readonly timeline: Timeline;
  readonly commits: readonly Commit[];
  readonly restorePoints: readonly RestorePoint[];
  readonly usedEndLsn: Lsn;
  readonly unreadable: string | undefined;
}

export async function findStop(
  store: WalStore,
  catalogue: WalCatalogue,
  path: readonly PathPart[],
  search: Search,
): Promise<FoundStop> {
  const { target } = search.request;
  const seen = new Seen(target);
  for await (const piece of pieces(store, catalogue, path, search)) {
    const found = seen.look(piece, search);
    if (found) return found;
  }
  return seen.absent(search);
}

async function* pieces(
  store: WalStore,
  catalogue: WalCatalogue,
  path: readonly PathPart[],
  search: Search,
): AsyncGenerator<Piece> {
  const first = path.findIndex((part) => part.timeline === search.from.timeline);
  let at = search.from.lsn;
  for (const part of path.slice(first)) {
    const end = part.endLsn !== undefined && part.endLsn < search.until ? part.endLsn : search.until;
    if (end <= at) break;
    let before: SegmentIndex | undefined;
    const { segmentBytes } = store;
    for await (const index of readIndexes(
      store,
      part.timeline,
      segmentOf(at, segmentBytes),
      segmentBefore(end, segmentBytes),
    )) {
      yield toPiece(before, index, { from: at, end });
      before = index;
    }
    at = end;
  }
  void catalogue;
}

function toPiece(before: SegmentIndex | undefined, index: SegmentIndex, limits: { from: Lsn; end: Lsn }): Piece {
  const across = before ? joinRecord(before, index) : { commits: [], restorePoints: [] };
  const within = ({ lsn }: { readonly lsn: Lsn }): boolean => lsn >= limits.from && lsn < limits.end;
  return {
    timeline: index.timeline,
    commits: [...across.commits, ...index.commits].filter(within),
    restorePoints: [...across.restorePoints, ...index.restorePoints].filter(within),
    usedEndLsn: index.usedEndLsn < limits.end ? index.usedEndLsn : limits.end,
    unreadable: index.problem,
  };
}

/** Remembers what was met on the way, to name the nearest when the target itself is not found. */
class Seen {
  readonly #target: RecoveryTarget;
  readonly #names = new Map<string, RestorePoint>();
  #lastCommit: Commit | undefined;
  #usedEnd: Lsn | undefined;
  #unreadable: string | undefined;

  constructor(target: RecoveryTarget) {
    this.#target = target;
  }

  look(piece: Piece, search: Search): FoundStop | undefined {
    this.#unreadable ??= piece.unreadable;
    const stop = this.#stopIn(piece, search.request.inclusive);
    if (stop) {
      return { kind: 'record', lsn: stop.lsn, timeline: piece.timeline, time: stop.time, warnings: this.#warnings() };
    }
    for (const point of piece.restorePoints) this.#names.set(point.name, point);
    this.#lastCommit = piece.commits.at(-1) ?? this.#lastCommit;
    this.#usedEnd = piece.usedEndLsn;
    return undefined;
  }

  #stopIn(piece: Piece, inclusive: boolean): { readonly lsn: Lsn; readonly time: bigint | undefined } | undefined {
    const target = this.#target;
    switch (target.kind) {
      case 'time':
        return piece.commits.find(({ time }) => (inclusive ? time > target.time : time >= target.time));
      case 'xid':
        return piece.commits.find(({ xid }) => xid === target.xid);
      case 'name': {
        const point = piece.restorePoints.find(({ name }) => name === target.name);
        return point && { lsn: point.endLsn, time: point.time };
      }
      case 'lsn':
        // Some record begins at or after the target when the last record read ends after it.
        return piece.usedEndLsn > target.lsn ? { lsn: target.lsn, time: piece.commits.at(-1)?.time } : undefined;
      case 'latest':
      case 'immediate':
        return undefined;
    }
  }

  #warnings(): string[] {
    return this.#unreadable === undefined
      ? []
      : [`some WAL on the way could not be read for the index: ${this.#unreadable}`];
  }

  absent(search: Search): FoundStop {
    const target = this.#target;
    const end = this.#lastCommit
      ? `the last transaction archived ended at ${formatTimestamp(this.#lastCommit.time)} (${formatLsn(this.#lastCommit.lsn)})`
      : 'no transaction is archived after the backup';
    switch (target.kind) {
      case 'time':
        return {
          kind: 'absent',
          reason: end,
          suggestions: ['leave the target out to recover everything that is archived'],
        };
      case 'lsn':
        return {
          kind: 'absent',
          reason: `the archived WAL ends at ${formatLsn(this.#usedEnd ?? search.until)}`,
          suggestions: ['leave the target out to recover everything that is archived'],
        };
      case 'xid':
        return {
          kind: 'absent',
          reason: `no transaction ${target.xid} ended in the archived WAL after the backup`,
          suggestions: [end],
        };
      case 'name': {
        const names = [...this.#names.values()].slice(-5);
        const known = names.map((point) => `"${point.name}" at ${formatTimestamp(point.time)}`).join(', ');
        return {
          kind: 'absent',
          reason: 'no restore point of that name is archived',
          suggestions: [
            known === '' ? 'the archived WAL has no restore points at all' : `restore points there are: ${known}`,
          ],
        };
      }
      case 'latest':
      case 'immediate':
        return { kind: 'absent', reason: '', suggestions: [] };
    }
  }
}
