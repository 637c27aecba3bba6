import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import { decodeControlFile } from '../postgres/control-file.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { countBackupWal, needsBackupWal, readBackupWal, type BackupWalStore } from './backup-wal.ts';
import { TextFile, giveTo, syncTrees, writeDurably, type Owner } from './durable.ts';
import { leftOutNote, leftOutNotePath, leftOutSettings } from './left-out-databases.ts';
import { writeOutsideConfiguration } from './outside-configuration.ts';
import { withRecoverySettings, type RecoverySettings } from './recovery-settings.ts';
import { placeAnew, placeOver } from './place-entries.ts';
import type { Restoring } from './restore-items.ts';
import { beginRestoreOver, leftAloneIn, type RestoreOver, type RestoreReport } from './restore-over.ts';
import type { RestorePlan } from './restore-plan.ts';
import type { Database } from './selected-databases.ts';
import { beginNew, endRestore, unfinishedName } from './unfinished-restore.ts';
import { makePrivateDirectory } from './target-directory.ts';
import { formatGmt, writeFiles, type WrittenFiles } from './write-files.ts';
import { writing } from './write-error.ts';

export interface ExecuteRestoreOptions {
  readonly cluster: ClusterRepository;
  readonly store: BackupWalStore;
  readonly plan: RestorePlan;
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly restoring: Restoring;
  readonly settings: Omit<RecoverySettings, 'recovery'>;
  /** What is in the directory, where it is restored in place; it is new otherwise. */
  readonly over?: RestoreOver | undefined;
  /** Databases that are not wanted (selected-databases.ts); none unless said. */
  readonly leftOut?: readonly Database[];
  /**
   * For a member of a cluster whose manager says how it recovers and whom it follows: no settings of ours, and a signal
   * that keeps it from opening by itself until then.
   */
  readonly standby?: boolean;
  /** Text of the script that `settings.restoreCommand` runs, and where it goes. */
  readonly script: { readonly path: string; readonly text: string };
  readonly owner: (user: string, group: string) => Owner | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** With more segments than this between start and end of the backup, they are left to restore_command. */
const localSegments = 32;

/**
 * Puts everything back, in an order in which a crash at any point leaves a directory that PostgreSQL refuses
 * to start: pg_control, without which it is no cluster, comes last and only after all else is durable.
 *
 * tablespace_map is not put back: from it PostgreSQL would make the links of tablespaces as they were, and ours may
 * lead elsewhere. Without it the links count that are there (xlogrecovery.c, read_tablespace_map).
 */
export async function executeRestore(options: ExecuteRestoreOptions): Promise<RestoreReport> {
  const { directory, plan, over } = options;
  const owner = dataOwner(options);
  await using manifest = await options.cluster.openManifest(plan.backup.id);
  const control = await requireAttachment(manifest, 'pg_control', plan.backup);
  // A cold backup has none: it starts from its pg_control.
  const isCold = plan.backup.temperature === 'cold';
  const label = isCold ? undefined : await requireAttachment(manifest, 'backup_label', plan.backup);
  makePrivateDirectory(directory);
  const decoded = decodeControlFile(control);
  const cleaned = over ? await beginRestoreOver({ ...options, over, manifest }) : { removedFiles: 0, removedBytes: 0 };
  if (!over) beginNew(directory, control, owner);
  // Replay makes a tablespace, but not the directory that it is made in.
  const places = [...options.tablespaces.values(), ...plan.replayedTablespaces.map(({ path }) => path)];
  for (const place of places) makePrivateDirectory(place);
  giveTo(owner, places);

  const written = await writeContent(options, manifest, { control, label });
  await bringLocalWal(options, decoded.segmentBytes);
  writeRecoveryFiles(options);
  await syncTrees([directory, join(directory, 'pg_wal'), ...options.tablespaces.values()]);
  endRestore(directory, control, owner);
  return { ...written, ...cleaned };
}

async function requireAttachment(manifest: ManifestReader, name: string, backup: BackupRecord): Promise<Uint8Array> {
  const bytes = await manifest.attachment(name);
  if (bytes) return bytes;
  throw new PgrecallError('object-damaged', `the manifest of ${backup.id} has no ${name}`, {
    details: { backup: backup.id, name },
  });
}

/** Every file of the backup, and backup_manifest, which lists them. */
async function writeContent(
  options: ExecuteRestoreOptions,
  manifest: ManifestReader,
  documents: { readonly control: Uint8Array; readonly label: Uint8Array | undefined },
): Promise<WrittenFiles> {
  const { directory, plan, over } = options;
  const path = join(directory, 'backup_manifest');
  using text = new TextFile(path);
  const backupManifest = new BackupManifestWriter({
    postgresMajor: plan.backup.postgresMajor,
    systemIdentifier: systemIdentifier(plan.backup.systemIdentifier),
  });
  const files = await writeFiles({
    ...options,
    placing: over ? placeOver : placeAnew,
    leftAlone: over ? leftAloneIn(directory) : new Set([unfinishedName]),
    leftOut: new Set(options.leftOut?.map(({ oid }) => oid)),
    manifest,
    backupManifest,
    writeBackupManifest: (part) => text.write(part),
  });
  const written = [
    ...(await writeOutsideConfiguration(manifest, directory)),
    ...(documents.label ? [{ path: 'backup_label', bytes: documents.label }] : []),
  ];
  if (documents.label) writeDurably(join(directory, 'backup_label'), documents.label);
  const lastModified = formatGmt(Date.parse(plan.backup.stoppedAt));
  for (const file of [...written, { path: 'global/pg_control', bytes: documents.control }]) {
    const { length } = file.bytes;
    const entry = { path: file.path, sizeBytes: length, lastModified, crc32c: crc32c(file.bytes) };
    text.write(backupManifest.addFile(entry));
  }
  text.write(backupManifest.finish([walRange(plan.backup)]));
  text.finish();
  giveTo(dataOwner(options), [path, ...written.map((file) => join(directory, file.path))]);
  return files;
}

function walRange({ timeline: of, startLsn, endLsn }: BackupRecord): Parameters<BackupManifestWriter['finish']>[0][0] {
  return { timeline: timeline(of), startLsn: parseLsn(startLsn), endLsn: parseLsn(endLsn) };
}

/**
 * Brings the WAL of the backup itself into pg_wal: the directory can then become consistent, and
 * pg_verifybackup can check it whole, without the repository. A whole segment is marked as archived, as
 * pg_basebackup does, so that the server does not archive it again.
 */
async function bringLocalWal(options: ExecuteRestoreOptions, segmentBytes: number): Promise<void> {
  const { backup } = options.plan;
  if (!needsBackupWal(backup) && countBackupWal(backup, segmentBytes) > localSegments) return;
  const owner = dataOwner(options);
  for await (const { name, bytes, whole } of readBackupWal(options.store, backup, segmentBytes)) {
    options.signal.throwIfAborted();
    const wal = join(options.directory, 'pg_wal');
    writeDurably(join(wal, name), bytes, { owner });
    if (whole) writeDurably(join(wal, 'archive_status', `${name}.done`), '', { owner });
  }
}

function writeRecoveryFiles(options: ExecuteRestoreOptions): void {
  const { directory, script, standby = false, leftOut = [] } = options;
  const owner = dataOwner(options);
  const recovery = standby || options.plan.startsAsItWas === true ? undefined : options.plan;
  const scripts = dirname(script.path);
  writing(scripts, () => mkdirSync(scripts, { recursive: true, mode: 0o700 }));
  giveTo(owner, [scripts]);
  if (recovery || standby) writeDurably(script.path, script.text, { mode: 0o700, owner });
  if (leftOut.length > 0) writeDurably(leftOutNotePath(directory), leftOutNote(leftOut), { owner });
  const auto = join(directory, 'postgresql.auto.conf');
  const previous = existsSync(auto) ? readFileSync(auto, 'utf8') : '';
  const more = { ...options.settings.more, ...(leftOut.length > 0 ? leftOutSettings : {}) };
  writeDurably(auto, withRecoverySettings(previous, { ...options.settings, more, recovery }), { owner });
  if (recovery) writeDurably(join(directory, 'recovery.signal'), '', { owner });
  if (standby) writeDurably(join(directory, 'standby.signal'), '', { owner });
}

/** As root, what a restore writes of itself belongs to whoever owns the rest. */
function dataOwner(options: ExecuteRestoreOptions): Owner | undefined {
  return options.owner('', '');
}
