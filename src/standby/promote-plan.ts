import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';

/*
 * Whether a standby may be promoted, as far as that can be computed: what it lacks of what is known to have been written,
 * how much of that is allowed, and whether another server went on from there before.
 */

/** WAL that is known of, and that the standby has not. */
export interface Lack {
  readonly bytes: number;
  /** From the last commit that was replayed to the last one that is known; 0 where no commit is lacking. */
  readonly seconds: number;
  /** At least: one whose record lies across the end of a segment is not counted. */
  readonly commits: number;
  readonly lastKnownCommitTime: bigint | undefined;
  readonly knownLsn: Lsn;
}

export interface Have {
  readonly haveLsn: Lsn;
  readonly lastCommitTime: bigint | undefined;
}

/** How far the WAL of `indexes` goes, and what of it lies behind what the standby has. */
export function measureLack(have: Have, indexes: readonly SegmentIndex[]): Lack {
  let knownLsn = have.haveLsn;
  let commits = 0;
  let last: bigint | undefined;
  for (const index of indexes) {
    const endLsn = index.ending === 'switch' ? index.endLsn : index.usedEndLsn;
    if (endLsn > knownLsn) knownLsn = endLsn;
    for (const commit of index.commits) {
      if (commit.lsn < have.haveLsn || !commit.kind.startsWith('commit')) continue;
      commits += 1;
      if (last === undefined || commit.time > last) last = commit.time;
    }
  }
  const from = have.lastCommitTime ?? last;
  const micros = last === undefined || from === undefined || last < from ? 0n : last - from;
  return {
    bytes: Number(knownLsn - have.haveLsn),
    seconds: Number(micros) / 1e6,
    commits,
    lastKnownCommitTime: last,
    knownLsn,
  };
}

export type AllowedLag =
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'seconds'; readonly seconds: number };

const byteUnits: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };
const secondUnits: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3600 };

/** `16MB` as PostgreSQL writes it, `1000` (bytes), or `30s`, `5min`, `1h`. Throws `usage`. */
export function parseLag(text: string): AllowedLag {
  const match = /^(\d{1,15})\s*([a-z]*)$/i.exec(text.trim());
  const unit = (match?.[2] ?? '').toLowerCase();
  const [bytes, seconds] = [byteUnits[unit], secondUnits[unit]];
  const value = Number(match?.[1]);
  if (match && bytes !== undefined) return { kind: 'bytes', bytes: value * bytes };
  if (match && seconds !== undefined) return { kind: 'seconds', seconds: value * seconds };
  throw new PgrecallError('usage', `--max-lag is "${text}"; expected bytes (1000, 16MB) or a time (30s, 5min)`);
}

export function isAllowed(lack: Lack, allowed: AllowedLag): boolean {
  return allowed.kind === 'bytes' ? lack.bytes <= allowed.bytes : lack.seconds <= allowed.seconds;
}

/** In words, what would be lost. */
export function describeLack(lack: Lack, have: Have): string {
  const replayed = have.lastCommitTime === undefined ? 'none' : formatTimestamp(have.lastCommitTime);
  if (lack.bytes === 0) return `nothing is lacking: it has all WAL up to ${formatLsn(lack.knownLsn)}`;
  const commits =
    lack.commits === 0
      ? 'no commit in it'
      : `${lack.commits} commit${lack.commits === 1 ? '' : 's'} in it, the last at ${formatTimestamp(lack.lastKnownCommitTime ?? 0n)}`;
  return `it has WAL up to ${formatLsn(have.haveLsn)} (last commit replayed: ${replayed}) and lacks ${lack.bytes} bytes up to ${formatLsn(lack.knownLsn)}: ${commits}`;
}

/** A timeline on which another server has gone on from the standby's. */
export interface Fork {
  readonly timeline: Timeline;
  readonly switchLsn: Lsn;
}

/** The newest of the archived timelines that branched off the standby's own; `undefined` where there is none. */
export function findFork(of: Timeline, histories: ReadonlyMap<Timeline, TimelineHistory>): Fork | undefined {
  let found: Fork | undefined;
  for (const [timeline, { parents }] of histories) {
    const parent = parents.find((candidate) => candidate.timeline === of);
    if (!parent || (found && found.timeline > timeline)) continue;
    found = { timeline, switchLsn: parent.switchLsn };
  }
  return found;
}
