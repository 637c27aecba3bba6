import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Times as WAL holds them (TimestampTz): microseconds since 2000-01-01 00:00:00 UTC, 64 bits signed.
 * Text is PostgreSQL's ISO style in UTC. The calendar is the proleptic Gregorian one, computed here:
 * this folder takes no Date.
 */

const microsPerDay = 86_400_000_000n;
/** From 1970-01-01 to 2000-01-01. */
const epochDays = 10_957;
const epochMillis = epochDays * 86_400_000;

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

/** Year, month and day of a number of days since 1970-01-01; years count from 1 March so that leap days come last. */
function civilDate(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
  };
}

function daysOfCivil(year: number, month: number, day: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return (
    era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
  );
}

/** `2026-11-23 08:38:34.123456+00`: always UTC, always microseconds; ` BC` after years before 1. */
export function formatTimestamp(micros: bigint): string {
  const ofDay = ((micros % microsPerDay) + microsPerDay) % microsPerDay;
  const days = Number((micros - ofDay) / microsPerDay) + epochDays;
  const { year, month, day } = civilDate(days);
  const seconds = Number(ofDay / 1_000_000n);
  const clock = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  const fraction = pad(Number(ofDay % 1_000_000n), 6);
  const era = year < 1 ? ' BC' : '';
  return `${pad(year < 1 ? 1 - year : year, 4)}-${pad(month)}-${pad(day)} ${clock}.${fraction}+00${era}`;
}

const timestampPattern =
  /^(\d{4,6})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)? ?(?:(Z)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)$/i;

/**
 * Reads ISO 8601 with a zone (`Z`, `+09`, `+05:30`), as `formatTimestamp` and PostgreSQL write it.
 * Throws `usage` where the text is not such a time or names a day or hour that does not exist.
 */
export function parseTimestamp(text: string): bigint {
  const match = timestampPattern.exec(text);
  const fail = (): never => {
    throw new PgrecallError('usage', `"${text}" is not a time; expected something like 2026-11-23 08:38:34.123456+00`);
  };
  if (!match) return fail();
  const part = (group: number): number => Number(match[group] ?? 0);
  const [year, month, day] = [part(1), part(2), part(3)];
  const days = daysOfCivil(year, month, day);
  const back = civilDate(days);
  const real = back.year === year && back.month === month && back.day === day;
  // PostgreSQL takes 24:00:00 and second 60 too, as the moment after
  if (!real || part(4) > 23 || part(5) > 59 || part(6) > 59 || part(10) > 15 || part(11) > 59 || part(12) > 59) fail();
  const east = (match[9] === '-' ? -1 : 1) * (part(10) * 3600 + part(11) * 60 + part(12));
  const seconds = (days - epochDays) * 86_400 + part(4) * 3600 + part(5) * 60 + part(6) - east;
  return BigInt(seconds) * 1_000_000n + BigInt((match[7] ?? '').padEnd(6, '0'));
}

/** Milliseconds since 1970-01-01 UTC, as a clock gives them, to microseconds since 2000-01-01 UTC. */
export function fromUnixMillis(millis: number): bigint {
  const whole = Math.floor(millis);
  return BigInt(whole - epochMillis) * 1000n + BigInt(Math.round((millis - whole) * 1000));
}

/** The counterpart of `fromUnixMillis`, rounded down to a whole millisecond. */
export function toUnixMillis(micros: bigint): number {
  const rest = ((micros % 1000n) + 1000n) % 1000n;
  return Number((micros - rest) / 1000n) + epochMillis;
}
