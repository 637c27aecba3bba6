import { createHash } from 'node:crypto';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from './lsn.ts';
import type { SystemIdentifier } from './system-identifier.ts';
import { timeline, type Timeline } from './timeline.ts';

/*
 * backup_manifest, after https://www.postgresql.org/docs/18/backup-manifest-format.html and
 * backup/backup_manifest.c. Written a piece at a time, so that millions of files need no memory. Version 1 up to
 * PostgreSQL 16; version 2, with the system identifier, from 17.
 */

export interface ManifestFile {
  /** UTF-8. */
  readonly path: string;
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
    const text = `${this.#begin()}\n{ "Path": ${JSON.stringify(file.path)}, "Size": ${file.sizeBytes}, "Last-Modified": "${file.lastModified}"${checksum} }`;
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
  readonly files: readonly {
    readonly path: string;
    readonly sizeBytes: number;
    readonly checksum: string | undefined;
  }[];
  readonly walRanges: readonly WalRange[];
}

/** Reads a whole manifest. Throws `decode` where it is no manifest or its own checksum is wrong. */
export function parseBackupManifest(text: string): ParsedManifest {
  const at = text.lastIndexOf('"Manifest-Checksum"');
  const stored = /"Manifest-Checksum": "([0-9a-f]{64})"/.exec(text.slice(Math.max(at, 0)))?.[1];
  if (at < 0 || stored !== createHash('sha256').update(text.slice(0, at)).digest('hex')) {
    throw new PgrecallError('decode', 'backup_manifest: its checksum is missing or wrong');
  }
  const document = JSON.parse(text) as Record<string, unknown>;
  const files = (document['Files'] ?? []) as Record<string, unknown>[];
  const ranges = (document['WAL-Ranges'] ?? []) as Record<string, unknown>[];
  return {
    version: Number(document['PostgreSQL-Backup-Manifest-Version']),
    // The number exceeds what JSON.parse keeps exactly.
    systemIdentifier: /"System-Identifier": (\d+)/.exec(text)?.[1],
    files: files.map((file) => ({
      path: pathOf(file),
      sizeBytes: Number(file['Size']),
      checksum: file['Checksum'] as string | undefined,
    })),
    walRanges: ranges.map((range) => ({
      timeline: timeline(Number(range['Timeline'])),
      startLsn: parseLsn(String(range['Start-LSN'])),
      endLsn: parseLsn(String(range['End-LSN'])),
    })),
  };
}

function pathOf(file: Record<string, unknown>): string {
  const encoded = file['Encoded-Path'];
  return typeof encoded === 'string' ? Buffer.from(encoded, 'hex').toString('utf8') : String(file['Path']);
}
