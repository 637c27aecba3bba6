import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { systemIdentifier, type SystemIdentifier } from '../postgres/system-identifier.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';

/*
 * The rows that the replication commands answer with, after
 * https://www.postgresql.org/docs/current/protocol-replication.html
 * Columns are taken by name: newer servers have added some.
 */

/** One result of a command: texts as the server sent them. */
export interface ResultSet {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (Uint8Array | undefined)[])[];
}

export interface SystemIdentity {
  readonly systemIdentifier: SystemIdentifier;
  readonly timeline: Timeline;
  /** How far WAL is flushed (on a standby: received and replayed) at this moment. */
  readonly positionLsn: Lsn;
}

/** IDENTIFY_SYSTEM: systemid, timeline, xlogpos, dbname. */
export function decodeSystemIdentity(results: readonly ResultSet[]): SystemIdentity {
  const row = onlyRow(results, 'IDENTIFY_SYSTEM');
  return understood('IDENTIFY_SYSTEM', () => ({
    systemIdentifier: systemIdentifier(row.text('systemid')),
    timeline: timeline(Number(row.text('timeline'))),
    positionLsn: parseLsn(row.text('xlogpos')),
  }));
}

/** TIMELINE_HISTORY: filename, content. The content is the file's bytes, whatever their encoding. */
export function decodeTimelineHistory(results: readonly ResultSet[]): {
  readonly name: string;
  readonly content: Uint8Array;
} {
  const row = onlyRow(results, 'TIMELINE_HISTORY');
  return { name: row.text('filename'), content: row.bytes('content') };
}

export type SlotState =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'physical';
      /** Undefined where it has never kept WAL, or has lost it (max_slot_wal_keep_size). */
      readonly restartLsn: Lsn | undefined;
      /** The timeline that `restartLsn` lies on in the server's history. */
      readonly restartTimeline: Timeline | undefined;
    }
  | { readonly kind: 'logical' };

/** READ_REPLICATION_SLOT: slot_type, restart_lsn, restart_tli; all null where there is no such slot. */
export function decodeSlotState(results: readonly ResultSet[]): SlotState {
  const row = onlyRow(results, 'READ_REPLICATION_SLOT');
  const type = row.optional('slot_type');
  if (type === undefined) return { kind: 'absent' };
  if (type !== 'physical') return { kind: 'logical' };
  return understood('READ_REPLICATION_SLOT', () => {
    const restart = row.optional('restart_lsn');
    const restartTimeline = Number(row.optional('restart_tli') ?? 0);
    return {
      kind: 'physical',
      restartLsn: restart === undefined ? undefined : parseLsn(restart),
      restartTimeline: restartTimeline === 0 ? undefined : timeline(restartTimeline),
    };
  });
}

/** The one value of a SHOW. */
export function decodeSetting(results: readonly ResultSet[]): string {
  const value = results[0]?.rows[0]?.[0];
  if (!value) return malformed('SHOW', 'no value');
  return Buffer.from(value).toString('utf8');
}

/** Where the server says that WAL goes on when a timeline has ended. */
export interface NextTimeline {
  readonly timeline: Timeline;
  /** The position at which it branched off the one that ended. */
  readonly switchLsn: Lsn;
}

/**
 * What follows the end of streaming: next_tli and next_tli_startpos where the timeline ended, no row where we
 * asked the server to stop.
 */
export function decodeNextTimeline(results: readonly ResultSet[]): NextTimeline | undefined {
  const result = results.find((candidate) => candidate.columns.includes('next_tli'));
  if (!result) return undefined;
  const row = onlyRow([result], 'the end of the timeline');
  return understood('the end of the timeline', () => ({
    timeline: timeline(Number(row.text('next_tli'))),
    switchLsn: parseLsn(row.text('next_tli_startpos')),
  }));
}

/** The size that `SHOW wal_segment_size` prints: `16MB`, `1GB`; in bytes. */
export function parseSegmentSize(text: string): number {
  const match = /^(\d+)(kB|MB|GB|B)?$/.exec(text);
  if (!match) return malformed('SHOW wal_segment_size', `"${text}"`);
  const units: Readonly<Record<string, number>> = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };
  return Number(match[1]) * (units[match[2] ?? 'B'] ?? 1);
}

interface Row {
  text(column: string): string;
  optional(column: string): string | undefined;
  bytes(column: string): Uint8Array;
}

export function onlyRow(results: readonly ResultSet[], command: string): Row {
  const result = results[0];
  const values = result?.rows[0];
  if (!result || !values || result.rows.length !== 1) {
    return malformed(command, `${result?.rows.length ?? 0} rows where one was expected`);
  }
  return rowOf(result.columns, values, command);
}

export function rowOf(columns: readonly string[], values: readonly (Uint8Array | undefined)[], command: string): Row {
  const find = (column: string): Uint8Array | undefined => {
    const index = columns.indexOf(column);
    if (index < 0) return malformed(command, `no column "${column}"`);
    return values[index];
  };
  const bytes = (column: string): Uint8Array => find(column) ?? malformed(command, `no value for "${column}"`);
  return {
    bytes,
    text: (column) => Buffer.from(bytes(column)).toString('utf8'),
    optional: (column) => {
      const value = find(column);
      return value === undefined ? undefined : Buffer.from(value).toString('utf8');
    },
  };
}

/** Turns whatever a value's own parser throws into an error about the server's answer. */
function understood<T>(command: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new PgrecallError('decode', `the server’s answer to ${command} cannot be understood`, { cause: error });
  }
}

function malformed(command: string, problem: string): never {
  throw new PgrecallError('decode', `the server’s answer to ${command} cannot be understood: ${problem}`, {
    details: { command },
  });
}
