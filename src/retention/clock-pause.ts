import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatSpan } from '../config/duration.ts';
import type { Dated, Reasons } from './keep-rules.ts';

/*
 * A clock that jumps ahead makes everything look old, and so do backups that have stopped. Either shows as a pause that is
 * out of all proportion to those before it: between the newest backup and now, or, once backups go on, between two of them.
 * Where generations are kept, pauses grow towards the past, never towards the present: so a pause is compared with those
 * before it only. Nights and weekends without backups are no surprise where there were others before.
 */

/** So many times as long as the longest before it. */
const outOfProportion = 4;

/** A shorter one is none: there are weekends and holidays. */
const shortestMs = 7 * 86_400_000;

/**
 * Throws `clock-suspect` where now, or the newest backup, lies behind such a pause: WAL or backups would go that are
 * needed; or where two backups or more before it would go. `spans`: the times that the rules have; a shorter pause cannot
 * let everything go. `dated` is in order of time.
 */
export function refusePause(
  dated: readonly Dated[],
  spans: readonly (number | undefined)[],
  nowMs: number,
  reasons: Reasons,
): void {
  const given = spans.filter((span) => span !== undefined);
  if (given.length === 0) return;
  const moments = [...dated.map(({ endedMs }) => endedMs), nowMs];
  const behind = pauseBehind(moments, Math.max(shortestMs, Math.min(...given)));
  if (behind === undefined) return;
  const going = dated.slice(0, behind).filter(({ backup }) => reasons.of(backup).length === 0);
  if (going.length < 2 && behind < dated.length - 1) return;
  const [before, after] = [dated[behind - 1]?.backup.id, dated[behind]?.backup.id ?? 'now'];
  const pause = formatSpan(roundToHours((moments[behind] ?? 0) - (moments[behind - 1] ?? 0)));
  throw new PgrecallError(
    'clock-suspect',
    `from ${before} to ${after} the clock went on by ${pause}, out of all proportion to the time between backups before; ${going.length} backup(s) would go, and WAL`,
    {
      hint: 'see that the clock is right, and was when these were taken, and that backups go on; where there was such a pause, expire with --force',
      details: { before, after, backups: going.map(({ backup }) => backup.id) },
    },
  );
}

/** The first moment after the latest pause that is out of proportion. */
function pauseBehind(moments: readonly number[], leastMs: number): number | undefined {
  const pauses = moments.slice(1).map((moment, i) => moment - (moments[i] ?? 0));
  for (let at = pauses.length - 1; at >= 1; at -= 1) {
    const pauseMs = pauses[at] ?? 0;
    if (pauseMs > leastMs && pauseMs > outOfProportion * Math.max(...pauses.slice(0, at))) return at + 1;
  }
  return undefined;
}

function roundToHours(millis: number): number {
  const hourMs = 3_600_000;
  return Math.max(1, Math.round(millis / hourMs)) * hourMs;
}
