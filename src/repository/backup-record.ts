import { checkDumpFacts, type DumpFacts } from './dump-facts.ts';
import { fields, flag, integer, listOf, matching, oneOf, optional, text, type Check } from './json-shape.ts';

/** What `list` and `show` need of one backup. Written last: a backup without it never happened. */
export interface BackupRecord {
  /** Sorts by time: `20261123T083834Z-full`. A segment of a key. */
  readonly id: string;
  readonly format: 1;
  readonly kind: 'physical' | 'logical';
  readonly temperature: 'cold' | 'warm' | 'hot';
  readonly type: 'full' | 'differential' | 'incremental';
  /** Of the cluster: the number in its document. */
  readonly incarnation: number;
  readonly postgresMajor: number;
  readonly systemIdentifier: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly stoppedAt: string;
  /** When the checkpoint was done that replay starts from: nothing in it that is not in its WAL was committed later. */
  readonly checkpointedAt?: string;
  readonly timeline: number;
  /** `X/Y`, as PostgreSQL prints them. */
  readonly startLsn: string;
  readonly endLsn: string;
  readonly checkpointLsn: string;
  /** Names of the first and the last WAL segment that it needs. */
  readonly startSegment: string;
  readonly stopSegment: string;
  readonly fromStandby: boolean;
  /** Of a cold backup: `minimal` is one from which PostgreSQL replays no WAL. */
  readonly walLevel?: string;
  /** Of the files, as they restore. */
  readonly sizeBytes: number;
  /** What this backup added to the repository. */
  readonly storedBytes: number;
  readonly files: number;
  /** Kept whatever the retention policy says. */
  readonly keep: boolean;
  readonly note: string;
  readonly tablespaces: readonly { readonly oid: number; readonly path: string; readonly name?: string }[];
  /** Those of the server when the backup began; absent where none was asked. */
  readonly databases?: readonly { readonly oid: number; readonly name: string }[];
  /** Of a logical backup. */
  readonly dump?: DumpFacts;
  /** The backup whose content it names again where that is unchanged; a full one, too, where it stored only what was lacking. */
  readonly reference?: string;
  /** How unchanged pages were told; 'all': everything was read and stored; 'server': it sent what had changed; 'files': of those that were changed, the contents. */
  readonly evidence?: 'all' | 'server' | 'wal' | 'files' | 'sums';
  /** Why not by better evidence, or why it is full: one sentence. */
  readonly fallback?: string;
  /** Pages are 8 KiB of any file. */
  readonly pagesRead?: number;
  readonly pagesStored?: number;
  /** From the cluster's files. */
  readonly bytesRead?: number;
  readonly dataChecksums: boolean;
  readonly badPages: readonly { readonly path: string; readonly blocks: readonly number[] }[];
  readonly pgrecallVersion: string;
  /** Every pack that its file maps refer to, its own and older ones. */
  readonly packs: readonly string[];
  /** Configuration outside the data directory, by path. */
  readonly outsideFiles: readonly string[];
  readonly warnings: readonly string[];
}

const lsn = matching(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);
const segment = matching(/^[0-9A-F]{24}$/);

/** The shape of a record as JSON. A logical backup has no WAL: its LSNs and segments are empty. */
export const checkBackupRecord: Check = fields({
  id: matching(/^[A-Za-z0-9._-]{1,128}$/),
  format: oneOf(1),
  kind: oneOf('physical', 'logical'),
  temperature: oneOf('cold', 'warm', 'hot'),
  type: oneOf('full', 'differential', 'incremental'),
  incarnation: integer(1),
  postgresMajor: integer(1, 1000),
  systemIdentifier: matching(/^\d{1,20}$/),
  startedAt: text(64),
  stoppedAt: text(64),
  checkpointedAt: optional(text(64)),
  timeline: integer(0, 0xffff_ffff),
  startLsn: emptyOr(lsn),
  endLsn: emptyOr(lsn),
  checkpointLsn: emptyOr(lsn),
  startSegment: emptyOr(segment),
  stopSegment: emptyOr(segment),
  fromStandby: flag,
  walLevel: optional(text(16)),
  sizeBytes: integer(),
  storedBytes: integer(),
  files: integer(),
  keep: flag,
  note: text(),
  tablespaces: listOf(fields({ oid: integer(1, 0xffff_ffff), path: text(), name: optional(text()) })),
  databases: optional(listOf(fields({ oid: integer(1, 0xffff_ffff), name: text() }))),
  dump: optional(checkDumpFacts),
  reference: optional(matching(/^[A-Za-z0-9._-]{1,128}$/)),
  evidence: optional(oneOf('all', 'server', 'wal', 'files', 'sums')),
  fallback: optional(text()),
  pagesRead: optional(integer()),
  pagesStored: optional(integer()),
  bytesRead: optional(integer()),
  dataChecksums: flag,
  badPages: listOf(fields({ path: text(), blocks: listOf(integer(0, 0xffff_ffff)) })),
  pgrecallVersion: text(64),
  // That they are names of packs is seen where they are used: a list of backups has a hundred thousand.
  packs: listOf(text(32)),
  outsideFiles: listOf(text()),
  warnings: listOf(text()),
});

function emptyOr(check: Check): Check {
  return (value, place) => (value === '' ? undefined : check(value, place));
}
