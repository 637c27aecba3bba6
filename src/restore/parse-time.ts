import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Times as people write them. ISO 8601 and PostgreSQL's own output are read here to the microsecond; what
 * else the runtime understands ("31 Mar 2022 09:06 UTC") is taken to the millisecond. A time without a zone
 * is this machine's.
 */

/** Unix milliseconds of 2000-01-01 00:00 UTC, from which PostgreSQL counts. */
const postgresEpochMs = 946_684_800_000n;

const iso =
  /^(\d{4,6})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?|[A-Z]{2,5}|[A-Z_]+\/[A-Z_+\-0-9/]+)?$/i;

/** Abbreviations as PostgreSQL's default reads them (timezone/tznames/Default): hours ahead of UTC. */
const abbreviations: ReadonlyMap<string, number> = new Map([
  ...(['Z', 'UTC', 'UT', 'GMT', 'WET'] as const).map((name): [string, number] => [name, 0]),
  ...(['WEST', 'CET', 'BST'] as const).map((name): [string, number] => [name, 1]),
  ...(['CEST', 'EET'] as const).map((name): [string, number] => [name, 2]),
  ...(['EEST', 'MSK'] as const).map((name): [string, number] => [name, 3]),
  ...(['HKT', 'SGT'] as const).map((name): [string, number] => [name, 8]),
  ...(['KST', 'JST'] as const).map((name): [string, number] => [name, 9]),
  ...(['EST', 'CDT'] as const).map((name): [string, number] => [name, -5]),
  ...(['CST', 'MDT'] as const).map((name): [string, number] => [name, -6]),
  ...(['MST', 'PDT'] as const).map((name): [string, number] => [name, -7]),
  ['EDT', -4],
  ['PST', -8],
]);

/** Farther from UTC is no zone: PostgreSQL's limit. */
const maxOffsetMs = 16 * 3_600_000;

/** Microseconds since 2000-01-01 UTC. Throws `usage` for what is not a time. */
export function parseTime(text: string): bigint {
  const trimmed = text.trim();
  const match = iso.exec(trimmed);
  if (match) return fromParts(trimmed, match);
  const millis = Date.parse(trimmed);
  // The runtime reads bare numbers and words with digits as years; a moment has an hour.
  if (Number.isNaN(millis) || !/\d:\d/.test(trimmed)) throw unreadable(text);
  return (BigInt(millis) - postgresEpochMs) * 1000n;
}

function fromParts(text: string, match: RegExpExecArray): bigint {
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0));
  const fields = {
    year: year ?? 0,
    month: month ?? 0,
    day: day ?? 0,
    hour: hour ?? 0,
    minute: minute ?? 0,
    second: second ?? 0,
  };
  checkFields(text, fields);
  const micros = BigInt((match[7] ?? '').slice(0, 6).padEnd(6, '0'));
  const zone = match[8];
  const asUtc = Date.UTC(fields.year, fields.month - 1, fields.day, fields.hour, fields.minute, fields.second);
  const millis = zone === undefined ? localMillis(fields) : asUtc - zoneOffsetMs(text, zone, asUtc);
  return (BigInt(millis) - postgresEpochMs) * 1000n + micros;
}

interface Fields {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

function checkFields(text: string, fields: Fields): void {
  const date = new Date(Date.UTC(fields.year, fields.month - 1, fields.day));
  const fits =
    date.getUTCMonth() === fields.month - 1 &&
    date.getUTCDate() === fields.day &&
    (fields.hour <= 23 || (fields.hour === 24 && fields.minute === 0 && fields.second === 0)) &&
    fields.minute <= 59 &&
    fields.second <= 60;
  if (!fits) throw unreadable(text);
}

function localMillis(fields: Fields): number {
  return new Date(fields.year, fields.month - 1, fields.day, fields.hour, fields.minute, fields.second).getTime();
}

/** How far the zone is ahead of UTC at that wall-clock time, in milliseconds. */
function zoneOffsetMs(text: string, zone: string, wallClockAsUtc: number): number {
  const hours = abbreviations.get(zone.toUpperCase());
  if (hours !== undefined) return hours * 3_600_000;
  const numeric = /^([+-])(\d{1,2}):?(\d{2})?:?(\d{2})?$/.exec(zone);
  if (numeric) {
    const [minutes, seconds] = [Number(numeric[3] ?? 0), Number(numeric[4] ?? 0)];
    const offsetMs = (Number(numeric[2]) * 3600 + minutes * 60 + seconds) * 1000;
    if (offsetMs >= maxOffsetMs || minutes > 59 || seconds > 59) throw unreadable(text);
    return numeric[1] === '-' ? -offsetMs : offsetMs;
  }
  if (!zone.includes('/')) throw unreadable(text);
  try {
    // The offset at the guess may differ from that at the moment itself around a change of clocks: look twice.
    const guess = namedZoneOffsetMs(zone, wallClockAsUtc);
    return namedZoneOffsetMs(zone, wallClockAsUtc - guess);
  } catch (error) {
    throw unreadable(text, error);
  }
}

function namedZoneOffsetMs(zone: string, atMs: number): number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const part = Object.fromEntries(format.formatToParts(new Date(atMs)).map(({ type, value }) => [type, Number(value)]));
  const wallClock = Date.UTC(
    part['year'] ?? 0,
    (part['month'] ?? 1) - 1,
    part['day'],
    part['hour'],
    part['minute'],
    part['second'],
  );
  return wallClock - Math.floor(atMs / 1000) * 1000;
}

function unreadable(text: string, cause?: unknown): PgrecallError {
  return new PgrecallError('usage', `"${text}" is not a time that can be read`, {
    hint: 'write it as 2026-11-23 08:38:34.123456+00, with or without fractions and zone (UTC, +09, Asia/Seoul)',
    cause,
  });
}
