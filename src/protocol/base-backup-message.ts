import { BoundedReader } from '../bytes/bounded-reader.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import { readString } from './backend-message.ts';
import { describeType } from './message-framer.ts';
import { onlyRow, rowOf, type ResultSet } from './replication-result.ts';

/*
 * The answer to BASE_BACKUP, after https://www.postgresql.org/docs/current/protocol-replication.html
 *
 * Every version: a result with the start position (recptr, tli), a result with one row for each tablespace
 * (spcoid, spclocation, size; the data directory itself has no oid), copy data, a result with the end position.
 *
 * 15 and later send one copy for everything; each CopyData begins with a letter:
 *   'n' a new archive: String its file name, String the tablespace's path (empty for the data directory)
 *   'm' the manifest begins
 *   'd' data of the archive, or of the manifest
 *   'p' Int64 (big-endian) bytes of the present archive that the server is done with
 *
 * 14 sends a copy for each tablespace in the order of the result, plain tar, then one for the manifest.
 */

export type BaseBackupMessage =
  | { readonly kind: 'archive'; readonly name: string; readonly tablespacePath: string }
  | { readonly kind: 'manifest' }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'progress'; readonly doneBytes: bigint };

/** Decodes the payload of a CopyData of version 15 and later. `bytes` is a view of it. Throws `decode`. */
export function decodeBaseBackupMessage(payload: Uint8Array): BaseBackupMessage {
  const reader = new BoundedReader(payload, 'a message of the base backup');
  const type = reader.u8();
  switch (type) {
    case 0x6e: {
      const name = readString(reader, payload);
      const tablespacePath = readString(reader, payload);
      reader.end();
      return { kind: 'archive', name, tablespacePath };
    }
    case 0x6d:
      reader.end();
      return { kind: 'manifest' };
    case 0x64:
      return { kind: 'data', bytes: reader.bytes(reader.remaining) };
    case 0x70: {
      const doneBytes = reader.u64BE();
      reader.end();
      return { kind: 'progress', doneBytes };
    }
    default:
      return reader.fail(`expected 'n', 'm', 'd' or 'p', found ${describeType(type)}`);
  }
}

export interface BackupPosition {
  readonly lsn: Lsn;
  readonly timeline: Timeline;
}

/** The start or end position: recptr, tli. */
export function decodeBackupPosition(result: ResultSet): BackupPosition {
  const row = onlyRow([result], 'BASE_BACKUP');
  return wrapped(() => ({ lsn: parseLsn(row.text('recptr')), timeline: timeline(Number(row.text('tli'))) }));
}

export interface BackupTablespace {
  /** Undefined for the data directory itself. */
  readonly oid: number | undefined;
  /** Its path on the server; undefined for the data directory. */
  readonly path: string | undefined;
  /** The server's estimate; undefined unless asked for with PROGRESS. */
  readonly sizeBytes: number | undefined;
}

/** One row for each tablespace: spcoid, spclocation, size in kB. */
export function decodeBackupTablespaces(result: ResultSet): BackupTablespace[] {
  return result.rows.map((values) => {
    const row = rowOf(result.columns, values, 'BASE_BACKUP');
    const oid = row.optional('spcoid');
    const size = row.optional('size');
    return {
      oid: oid === undefined ? undefined : Number(oid),
      path: row.optional('spclocation'),
      sizeBytes: size === undefined ? undefined : Number(size) * 1024,
    };
  });
}

function wrapped<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new PgrecallError('decode', 'the server’s answer to BASE_BACKUP cannot be understood', { cause: error });
  }
}
