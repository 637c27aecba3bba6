import type { Lsn } from '../postgres/lsn.ts';
import type { Commit } from './segment-index.ts';

export const commitKinds: readonly Commit['kind'][] = ['commit', 'abort', 'commit-prepared', 'abort-prepared'];

/** 1964 and 2107: no clock of a server is outside, and differences of two such times are exact, doubled too. */
export const minTime = -(2 ** 50);
export const maxTime = 2 ** 51 + 2 ** 50;

/**
 * The commits of a segment, in the order of WAL, as columns: there are tens of thousands in one of pgbench's, and an
 * object with three big integers for each would cost more than reading all the records.
 */
export interface CommitColumns {
  readonly startLsn: Lsn;
  readonly xids: Uint32Array;
  /** Where records start and end, in bytes from `startLsn`. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  /** Microseconds since 2000-01-01 UTC: whole numbers from `minTime` to `maxTime`. */
  readonly times: Float64Array;
  /** Places in `commitKinds`. */
  readonly kinds: Uint8Array;
}

/** The commit at `index`, as an object. */
export function commitAt(columns: CommitColumns, index: number): Commit {
  const startLsn: bigint = columns.startLsn;
  return {
    xid: columns.xids[index] ?? 0,
    lsn: (startLsn + BigInt(columns.starts[index] ?? 0)) as Lsn,
    endLsn: (startLsn + BigInt(columns.ends[index] ?? 0)) as Lsn,
    time: BigInt(columns.times[index] ?? 0),
    kind: commitKinds[columns.kinds[index] ?? 0] ?? 'commit',
  };
}

export function commitsOf(columns: CommitColumns): Commit[] {
  return Array.from(columns.xids, (_, index) => commitAt(columns, index));
}

export function columnsOf(commits: readonly Commit[], startLsn: Lsn): CommitColumns {
  const builder = new CommitColumnsBuilder();
  for (const { xid, lsn, endLsn, time, kind } of commits) {
    builder.push(xid, Number(lsn - startLsn), Number(endLsn - startLsn), Number(time), commitKinds.indexOf(kind));
  }
  return builder.finish(startLsn);
}

const rowNumbers = 5;

export class CommitColumnsBuilder {
  #rows = new Float64Array(64 * rowNumbers);
  #used = 0;

  push(xid: number, start: number, end: number, time: number, kind: number): void {
    const at = this.#used;
    if (at === this.#rows.length) {
      const grown = new Float64Array(at * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    const rows = this.#rows;
    rows[at] = xid;
    rows[at + 1] = start;
    rows[at + 2] = end;
    rows[at + 3] = time;
    rows[at + 4] = kind;
    this.#used = at + rowNumbers;
  }

  finish(startLsn: Lsn): CommitColumns {
    const rows = this.#rows;
    const count = this.#used / rowNumbers;
    const columns = {
      startLsn,
      xids: new Uint32Array(count),
      starts: new Uint32Array(count),
      ends: new Uint32Array(count),
      times: new Float64Array(count),
      kinds: new Uint8Array(count),
    };
    for (let index = 0, at = 0; index < count; index += 1, at += rowNumbers) {
      columns.xids[index] = rows[at] ?? 0;
      columns.starts[index] = rows[at + 1] ?? 0;
      columns.ends[index] = rows[at + 2] ?? 0;
      columns.times[index] = rows[at + 3] ?? 0;
      columns.kinds[index] = rows[at + 4] ?? 0;
    }
    return columns;
  }
}
