import { formatTimestamp } from '../wal/transaction-time.ts';

/** How sizes, durations and tables read on a terminal. */

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Powers of 1000, three digits: `1.23 GB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** `3 s`, `4 min 5 s`, `2 h 3 min`, `5 d 6 h`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** Columns of equal width, two spaces between, the first row as heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Microseconds since 2000-01-01 UTC as ISO 8601, `2026-11-23T08:38:34.123456Z`. */
export function formatIso(micros: bigint): string {
  return formatTimestamp(micros).replace(' ', 'T').replace(/\+00$/, 'Z');
}
