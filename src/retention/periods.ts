import { parseTimestamp, formatTimestamp, fromUnixMillis, toUnixMillis } from '../wal/transaction-time.ts';
import { hasCode } from '../errors/pgrecall-error.ts';

/*
 * Hours, days, weeks, months and years as an administrator's calendar has them. The local time zone comes in from
 * outside: how far it is ahead of UTC at a moment.
 */

export const periods = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof periods)[number];

/** Milliseconds by which local time is ahead of UTC, at a moment in milliseconds since 1970. */
export type LocalOffset = (unixMs: number) => number;

const dayMs = 86_400_000;

/** Characters of `2026-11-23 08:38:34` that name the period. */
const lengths: Readonly<Record<Exclude<Period, 'weekly'>, number>> = { hourly: 13, daily: 10, monthly: 7, yearly: 4 };

/** What two moments have in common that lie in the same hour, day, … */
export function periodOf(period: Period, unixMs: number, localOffset: LocalOffset): string {
  const localMs = unixMs + localOffset(unixMs);
  // 1970-01-01 was a Thursday: weeks begin three days before it.
  if (period === 'weekly') return `week ${Math.floor((localMs + 3 * dayMs) / (7 * dayMs))}`;
  return formatTimestamp(fromUnixMillis(localMs)).slice(0, lengths[period]);
}

/** Milliseconds since 1970; `undefined` where the text is no time. */
export function parseInstant(text: string): number | undefined {
  try {
    return toUnixMillis(parseTimestamp(text));
  } catch (error) {
    if (hasCode(error, 'usage')) return undefined;
    throw error;
  }
}
