import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, isLsn, parseLsn, type Lsn } from './lsn.ts';
import type { SystemIdentifier } from './system-identifier.ts';
import { isTimeline, type Timeline } from './timeline.ts';

/*
 * backup_manifest, after https://www.postgresql.org/docs/18/backup-manifest-format.html and
 * backup/backup_manifest.c. Written a piece at a time, so that millions of files need no memory. Version 1 up to
 * PostgreSQL 16; version 2, with the system identifier, from 17.
 */

export interface ManifestFile {
  /** Bytes where the name is not UTF-8. */
  readonly path: string | Uint8Array;
  readonly sizeBytes: number;
  /** `2026-11-23 08:38:34 GMT` */
  readonly lastModified: string;
  readonly crc32c?: number;
}

export interface WalRange {
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

export class BackupManifestWriter {
  readonly #hash = createHash('sha256');
  #files = 0;
  readonly #head: string;

  constructor(options: { readonly postgresMajor: number; readonly systemIdentifier: SystemIdentifier }) {
    this.#head =
      options.postgresMajor >= 17
        ? `{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": ${options.systemIdentifier},\n"Files": [`
        : '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [';
  }

  /** The text to append for one file. */
  addFile(file: ManifestFile): string {
    const checksum =
      file.crc32c === undefined ? '' : `, "Checksum-Algorithm": "CRC32C", "Checksum": "${formatCrc(file.crc32c)}"`;
    const path =
      typeof file.path === 'string'
        ? `"Path": ${JSON.stringify(file.path)}`
        : `"Encoded-Path": "${Buffer.from(file.path).toString('hex')}"`;
    const text = `${this.#begin()}\n{ ${path}, "Size": ${file.sizeBytes}, "Last-Modified": "${file.lastModified}"${checksum} }`;
    return this.#hashed(text);
  }

  /** The rest of the text, with the checksum over everything before it. */
  finish(ranges: readonly WalRange[]): string {
    const wal = ranges
      .map(
        ({ timeline: of, startLsn, endLsn }) =>
          `{ "Timeline": ${of}, "Start-LSN": "${formatLsn(startLsn)}", "End-LSN": "${formatLsn(endLsn)}" }`,
      )
      .join(',\n');
    const head = this.#files === 0 ? this.#head : '';
    const text = this.#hashed(`${head}\n],\n"WAL-Ranges": [\n${wal}\n],\n`);
    return `${text}"Manifest-Checksum": "${this.#hash.digest('hex')}"}\n`;
  }

  #begin(): string {
    this.#files += 1;
    return this.#files === 1 ? this.#head : ',';
  }

  #hashed(text: string): string {
    this.#hash.update(text);
    return text;
  }
}

/** The four bytes as they lie in memory, which is how PostgreSQL prints a CRC. */
function formatCrc(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString('hex');
}

export interface ParsedManifest {
  readonly version: number;
  readonly systemIdentifier: string | undefined;
  readonly files: readonly ParsedManifestFile[];
  readonly walRanges: readonly WalRange[];
}

export interface ParsedManifestFile {
  /** Bytes where the name is not UTF-8. */
  readonly path: string | Uint8Array;
  readonly sizeBytes: number;
  readonly lastModified: string | undefined;
  readonly checksumAlgorithm: string | undefined;
  readonly checksum: string | undefined;
}

/** Reads a whole manifest. Throws `decode` where it is no manifest or its own checksum is wrong. */
export function parseBackupManifest(text: string): ParsedManifest {
  const at = text.lastIndexOf('"Manifest-Checksum"');
  const stored = /^"Manifest-Checksum": "([0-9a-f]{64})"\}\n$/.exec(text.slice(Math.max(at, 0)))?.[1];
  if (at < 0 || stored !== createHash('sha256').update(text.slice(0, at)).digest('hex')) {
    throw new PgrecallError('decode', 'backup_manifest: its checksum is missing or wrong');
  }
  const document = parseJson(text);
  const version = document['PostgreSQL-Backup-Manifest-Version'];
  if (version !== 1 && version !== 2) return fail('version', version);
  return {
    version,
    // The number exceeds what JSON.parse keeps exactly.
    systemIdentifier: /^"System-Identifier": (\d+),$/m.exec(text)?.[1],
    files: listOf(document, 'Files').map(parseFile),
    walRanges: listOf(document, 'WAL-Ranges').map(parseRange),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function fail(what: string, found: unknown): never {
  throw new PgrecallError('decode', `backup_manifest: ${what} ${JSON.stringify(found) ?? 'is missing'}`);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(text: string): Fields {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new PgrecallError('decode', 'backup_manifest: it is not JSON', { cause });
  }
  return isFields(document) ? document : fail('document', document);
}

function listOf(document: Fields, name: string): readonly Fields[] {
  const list = document[name];
  return Array.isArray(list) && list.every(isFields) ? list : fail(name, list);
}

function parseFile(file: Fields): ParsedManifestFile {
  const size = file['Size'];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return fail('size', size);
  return {
    path: pathOf(file),
    sizeBytes: size,
    lastModified: textOrNothing(file, 'Last-Modified'),
    checksumAlgorithm: textOrNothing(file, 'Checksum-Algorithm'),
    checksum: textOrNothing(file, 'Checksum'),
  };
}

/** One of its files, as it stands there. Throws `decode`. */
export function parseManifestFile(text: string): ParsedManifestFile {
  return parseFile(parseJson(text));
}

function textOrNothing(file: Fields, name: string): string | undefined {
  const value = file[name];
  return value === undefined || typeof value === 'string' ? value : fail(name, value);
}

function pathOf(file: Fields): string | Uint8Array {
  const { Path: path, 'Encoded-Path': encoded } = file;
  if (typeof path === 'string' && encoded === undefined) return path;
  if (typeof encoded !== 'string' || path !== undefined || !/^(?:[0-9a-f]{2})+$/i.test(encoded)) {
    return fail('path', encoded ?? path);
  }
  const bytes = Buffer.from(encoded, 'hex');
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes;
}

function parseRange(range: Fields): WalRange {
  const of = range['Timeline'];
  if (typeof of !== 'number' || !isTimeline(of)) return fail('timeline', of);
  return { timeline: of, startLsn: lsnOf(range, 'Start-LSN'), endLsn: lsnOf(range, 'End-LSN') };
}

function lsnOf(range: Fields, name: string): Lsn {
  const text = range[name];
  return typeof text === 'string' && isLsn(text) ? parseLsn(text) : fail(name, text);
}
