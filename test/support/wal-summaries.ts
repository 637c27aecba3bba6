import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { formatLsn, parseLsn, type Lsn } from '../../src/postgres/lsn.ts';

/* What a server's own summaries of changed blocks say (17 and newer, with summarize_wal = on). */

export interface WalSummary {
  readonly timeline: number;
  readonly start: Lsn;
  readonly end: Lsn;
}

/** All of them in the order of WAL, once there is one that goes to `until`: the summarizer comes after the load. */
export async function waitForSummaries(session: SqlSession, until: Lsn): Promise<WalSummary[]> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const rows = await session.query<{ tli: string; start: string; end: string }>(
      'SELECT tli::text, start_lsn::text AS start, end_lsn::text AS "end" FROM pg_available_wal_summaries() ORDER BY start_lsn',
    );
    const summaries = rows.map(({ tli, start, end }) => ({
      timeline: Number(tli),
      start: parseLsn(start),
      end: parseLsn(end),
    }));
    const last = summaries.at(-1);
    if (last && last.end >= until) return summaries;
    assert.ok(
      performance.now() < deadline,
      `summaries go only to ${last && formatLsn(last.end)}, expected ${formatLsn(until)}`,
    );
    await sleep(50);
  }
}

export interface SummarizedFork {
  readonly spcOid: number;
  readonly dbOid: number;
  readonly relNumber: number;
  readonly fork: number;
  readonly blocks: Set<number>;
  /** Where it was cut at the lowest. */
  cut?: number;
}

/** What some of them say together, one after the other in the plainest way; by the numbers of each fork. */
export async function readSummaries(
  session: SqlSession,
  summaries: readonly WalSummary[],
): Promise<Map<string, SummarizedFork>> {
  const merged = new Map<string, SummarizedFork>();
  for (const { timeline, start, end } of summaries) {
    // limits first: the blocks are those touched after
    const rows = await session.query<{
      fork: number;
      spc: string;
      db: string;
      rel: string;
      block: string;
      limit: boolean;
    }>(
      `SELECT reltablespace::text AS spc, reldatabase::text AS db, relfilenode::text AS rel,
         relforknumber::int AS fork, relblocknumber::text AS block, is_limit_block AS "limit"
       FROM pg_wal_summary_contents($1, $2, $3) ORDER BY is_limit_block DESC`,
      [timeline, formatLsn(start), formatLsn(end)],
    );
    for (const row of rows) {
      const key = forkKey(row.spc, row.db, row.rel, row.fork);
      let of = merged.get(key);
      if (!of) {
        of = {
          spcOid: Number(row.spc),
          dbOid: Number(row.db),
          relNumber: Number(row.rel),
          fork: row.fork,
          blocks: new Set(),
        };
        merged.set(key, of);
      }
      const block = Number(row.block);
      if (!row.limit) of.blocks.add(block);
      else {
        for (const earlier of of.blocks) if (earlier >= block) of.blocks.delete(earlier);
        of.cut = Math.min(block, of.cut ?? Infinity);
      }
    }
  }
  return merged;
}

export function forkKey(spc: number | string, db: number | string, rel: number | string, fork: number): string {
  return `${spc}/${db}/${rel}.${fork}`;
}
