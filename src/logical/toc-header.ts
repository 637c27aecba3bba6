import type { TocReader } from './toc-reader.ts';

/*
 * The beginning of an archive of pg_dump, after ReadHead of src/bin/pg_dump/pg_backup_archiver.c.
 *
 * | bytes | |
 * |---|---|
 * | 5 | `PGDMP` |
 * | 3 | version of the archive: 1.14 of pg_dump 14 and 15, 1.15 of 16, 1.16 of 17 and 18 |
 * | 1, 1 | bytes of an integer, and of an offset |
 * | 1 | format; the toc.dat of a directory says "tar", so that it can be read as one |
 * | 1 or integer | compression: its algorithm since 1.15, the level of gzip before |
 * | 7 integers | when it was made, local time: seconds, minutes, hours, day, month from 0, years since 1900, daylight saving |
 * | 3 texts | name of the database, version of the server, version of pg_dump |
 * | integer | entries that follow |
 */

const formats = new Map([
  [1, 'custom'],
  [3, 'files'],
] as const);
const algorithms = ['none', 'gzip', 'lz4', 'zstd'] as const;

export interface TocHeader {
  /** The minor part of the archive's version: 14 to 16. */
  readonly version: number;
  /** `files`: the rows are in files beside it, as of a directory and of a tar archive. */
  readonly format: 'custom' | 'files';
  readonly intBytes: number;
  readonly offsetBytes: number;
  readonly compression: (typeof algorithms)[number];
  /** On the clock of where pg_dump ran: `2026-11-23T08:38:34`, without a zone, which it does not tell. */
  readonly createdAt: string;
  readonly database: string | undefined;
  readonly serverVersion: string | undefined;
  readonly dumpVersion: string | undefined;
  readonly entries: number;
}

export function decodeTocHeader(reader: TocReader): TocHeader {
  if (Buffer.from(reader.bytes(5)).toString('latin1') !== 'PGDMP') reader.fail('no "PGDMP" before');
  const [major, version, revision] = [reader.byte(), reader.byte(), reader.byte()];
  if (major !== 1 || version < 14 || version > 16) {
    reader.fail(`version ${major}.${version}.${revision} of the archive, where 1.14 to 1.16 can be read,`);
  }
  const intBytes = sizeBetween(reader, 4, 8, 'an integer');
  const offsetBytes = sizeBetween(reader, 4, 8, 'an offset');
  const formatCode = reader.byte();
  const format = [...formats].find(([code]) => code === formatCode)?.[1];
  if (!format) reader.fail(`unknown format ${formatCode}`);
  reader.intBytes = intBytes;
  reader.offsetBytes = offsetBytes;
  return {
    version,
    format,
    intBytes,
    offsetBytes,
    compression: decodeCompression(reader, version),
    createdAt: decodeTime(reader),
    database: reader.text(),
    serverVersion: reader.text(),
    dumpVersion: reader.text(),
    entries: atLeastZero(reader, reader.int()),
  };
}

function sizeBetween(reader: TocReader, least: number, most: number, what: string): number {
  const size = reader.byte();
  if (size < least || size > most) reader.fail(`${what} of ${size} bytes, where ${least} to ${most} are possible,`);
  return size;
}

function decodeCompression(reader: TocReader, version: number): TocHeader['compression'] {
  if (version < 15) return reader.int() === 0 ? 'none' : 'gzip';
  const code = reader.byte();
  return algorithms[code] ?? reader.fail(`unknown compression ${code}`);
}

/** Digits that no clock shows are of no use to anybody, and are what a damaged file has. */
function decodeTime(reader: TocReader): string {
  const [second = 0, minute = 0, hour = 0, day = 0, month = 0, year = 0] = Array.from({ length: 7 }, () =>
    reader.int(),
  );
  const inRange = [
    [second, 0, 60],
    [minute, 0, 59],
    [hour, 0, 23],
    [day, 1, 31],
    [month, 0, 11],
    [year, 70, 8099],
  ].every(([value = 0, least = 0, most = 0]) => value >= least && value <= most);
  if (!inRange) reader.fail('no date');
  const [hh, mm, ss, dd] = [hour, minute, second, day].map((part) => String(part).padStart(2, '0'));
  return `${year + 1900}-${String(month + 1).padStart(2, '0')}-${dd}T${hh}:${mm}:${ss}`;
}

function atLeastZero(reader: TocReader, count: number): number {
  if (count < 0) reader.fail(`${count} entries`);
  return count;
}
