/*
 * Spans of time as people write them: "30 days", "12 hours", "2w". A month counts as 30 days and a year as 365, whatever
 * the calendar says.
 */

const hourMs = 3_600_000;

const units: ReadonlyMap<string, number> = new Map([
  ['minute', 60_000],
  ['hour', hourMs],
  ['day', 24 * hourMs],
  ['week', 7 * 24 * hourMs],
  ['month', 30 * 24 * hourMs],
  ['year', 365 * 24 * hourMs],
]);

const abbreviations: ReadonlyMap<string, string> = new Map([
  ['min', 'minute'],
  ['h', 'hour'],
  ['d', 'day'],
  ['w', 'week'],
  ['y', 'year'],
]);

const longestMs = 1000 * 365 * 24 * hourMs;

/** Milliseconds; `undefined` where the text is not a span of time, or is one of more than 1,000 years. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})\s*([a-z]+)$/i.exec(text.trim());
  const word = (match?.[2] ?? '').toLowerCase();
  const unit = units.get(abbreviations.get(word) ?? word.replace(/s$/, ''));
  if (!match || unit === undefined) return undefined;
  const millis = Number(match[1]) * unit;
  return millis <= longestMs ? millis : undefined;
}

/** In the largest unit that divides it: `30 days`. */
export function formatSpan(millis: number): string {
  for (const name of ['week', 'day', 'hour', 'minute']) {
    const unit = units.get(name) ?? 1;
    if (millis === 0 || millis % unit !== 0 || (name === 'week' && millis < 2 * unit)) continue;
    const count = millis / unit;
    return `${count} ${name}${count === 1 ? '' : 's'}`;
  }
  return `${millis / 1000} s`;
}
