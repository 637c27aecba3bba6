import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import type { ControlFile } from '../../src/postgres/control-file.ts';
import { formatLsn } from '../../src/postgres/lsn.ts';

/*
 * What PostgreSQL itself says of a pg_control: its SQL functions on a running server, and pg_controldata. Both, and what we
 * decode, are brought into the words of the functions.
 */

export type ControlWords = Readonly<Record<string, string>>;

const query = `
  SELECT pg_control_version AS version, catalog_version_no AS catalog, system_identifier AS identifier,
    extract(epoch FROM pg_control_last_modified)::bigint AS modified, checkpoint_lsn AS checkpoint, redo_lsn AS redo,
    timeline_id AS timeline, prev_timeline_id AS previous_timeline, next_xid,
    extract(epoch FROM checkpoint_time)::bigint AS checkpoint_time, min_recovery_end_lsn AS min_recovery,
    min_recovery_end_timeline AS min_recovery_timeline, backup_start_lsn AS backup_start, backup_end_lsn AS backup_end,
    end_of_backup_record_required AS backup_end_required, database_block_size AS block, blocks_per_segment AS blocks,
    wal_block_size AS wal_block, bytes_per_wal_segment AS segment, data_page_checksum_version AS checksums
  FROM pg_control_system(), pg_control_checkpoint(), pg_control_recovery(), pg_control_init()`;

/** What the server says, and the file that it says it of. */
export async function controlOnServer(
  session: SqlSession,
  dataDirectory: string,
): Promise<{ readonly words: ControlWords; readonly bytes: Buffer }> {
  const path = join(dataDirectory, 'global/pg_control');
  for (;;) {
    const bytes = readFileSync(path);
    const [row] = await session.query<{ words: Record<string, unknown> }>(
      `SELECT to_jsonb(control) AS words FROM (${query}) AS control`,
    );
    // the server writes it at any time
    if (row === undefined || !readFileSync(path).equals(bytes)) continue;
    const words = Object.entries(row.words).map(([name, value]) => [name, String(value)] as const);
    const [identifier] = await session.query<{ text: string }>(
      'SELECT system_identifier::text AS text FROM pg_control_system()',
    );
    // beyond what JSON.parse keeps
    return { words: { ...Object.fromEntries(words), identifier: identifier?.text ?? '' }, bytes };
  }
}

/** The same words for what we decoded. */
export function controlWords(control: ControlFile): ControlWords {
  return {
    version: String(control.controlVersion),
    catalog: String(control.catalogVersion),
    identifier: control.systemIdentifier,
    modified: String(control.modifiedAt),
    checkpoint: formatLsn(control.checkpointLsn),
    redo: formatLsn(control.redoLsn),
    timeline: String(control.timeline),
    previous_timeline: String(control.previousTimeline),
    next_xid: `${control.nextXid >> 32n}:${control.nextXid & 0xffff_ffffn}`,
    checkpoint_time: String(control.checkpointTime),
    min_recovery: formatLsn(control.minRecoveryLsn),
    min_recovery_timeline: String(control.minRecoveryTimeline),
    backup_start: formatLsn(control.backupStartLsn),
    backup_end: formatLsn(control.backupEndLsn),
    backup_end_required: String(control.backupEndRequired),
    block: String(control.blockBytes),
    blocks: String(control.relationSegmentBlocks),
    wal_block: String(control.walBlockBytes),
    segment: String(control.segmentBytes),
    checksums: control.dataChecksums ? '1' : '0',
  };
}

const labels: Readonly<Record<string, string>> = {
  version: 'pg_control version number',
  catalog: 'Catalog version number',
  identifier: 'Database system identifier',
  modified: 'pg_control last modified',
  checkpoint: 'Latest checkpoint location',
  redo: "Latest checkpoint's REDO location",
  timeline: "Latest checkpoint's TimeLineID",
  previous_timeline: "Latest checkpoint's PrevTimeLineID",
  next_xid: "Latest checkpoint's NextXID",
  checkpoint_time: 'Time of latest checkpoint',
  min_recovery: 'Minimum recovery ending location',
  min_recovery_timeline: "Min recovery ending loc's timeline",
  backup_start: 'Backup start location',
  backup_end: 'Backup end location',
  backup_end_required: 'End-of-backup record required',
  block: 'Database block size',
  blocks: 'Blocks per segment of large relation',
  wal_block: 'WAL block size',
  segment: 'Bytes per WAL segment',
  checksums: 'Data page checksum version',
};

export interface PrintedControl {
  readonly words: ControlWords;
  /** What the functions do not tell. */
  readonly state: string;
  readonly walLevel: string;
}

/** What pg_controldata prints. */
export function controlPrinted(program: string, dataDirectory: string): PrintedControl {
  const text = execFileSync(program, [dataDirectory], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
  });
  const lines = new Map(
    text.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const words = Object.entries(labels).map(([name, label]) => {
    const value = lines.get(label) ?? '';
    if (name === 'modified' || name === 'checkpoint_time')
      return [name, String(Date.parse(`${value} UTC`) / 1000)] as const;
    if (name === 'backup_end_required') return [name, String(value === 'yes')] as const;
    return [name, value] as const;
  });
  return {
    words: Object.fromEntries(words),
    state: lines.get('Database cluster state') ?? '',
    walLevel: lines.get('wal_level setting') ?? '',
  };
}
