import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { WalStore } from '../archive/wal-store.ts';
import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import { decodeControlFile } from '../postgres/control-file.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { segmentBefore, segmentNumber, segmentOf, formatSegmentName } from '../postgres/segment-name.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { TextFile, syncDirectory, syncTrees, writeDurably } from './durable.ts';
import { writeOutsideConfiguration } from './outside-configuration.ts';
import { withRecoverySettings, type RecoverySettings } from './recovery-settings.ts';
import type { Restoring } from './restore-items.ts';
import type { RestorePlan } from './restore-plan.ts';
import { makePrivateDirectory } from './target-directory.ts';
import { formatGmt, writeFiles } from './write-files.ts';

export interface ExecuteRestoreOptions {
  readonly cluster: ClusterRepository;
  readonly store: WalStore;
  readonly plan: RestorePlan;
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly restoring: Restoring;
  readonly settings: Omit<RecoverySettings, 'recovery'>;
  /** Text of the script that `settings.restoreCommand` runs, and where it goes. */
  readonly script: { readonly path: string; readonly text: string };
  readonly owner: (user: string, group: string) => { readonly uid: number; readonly gid: number } | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** With more segments than this between start and end of the backup, they are left to restore_command. */
const localSegments = 32;

/**
 * Puts everything back, in an order in which a crash at any point leaves a directory that PostgreSQL refuses
 * to start: pg_control, without which it is no cluster, comes last and only after all else is durable.
 */
export async function executeRestore(options: ExecuteRestoreOptions): Promise<{ readonly files: number }> {
  const { directory, plan } = options;
  const manifest = await options.cluster.openManifest(plan.backup.id);
  try {
    const control = await requireAttachment(manifest, 'pg_control', plan.backup);
    const label = await requireAttachment(manifest, 'backup_label', plan.backup);
    makePrivateDirectory(directory);
    for (const place of options.tablespaces.values()) makePrivateDirectory(place);

    const text = new TextFile(join(directory, 'backup_manifest'));
    const backupManifest = new BackupManifestWriter({
      postgresMajor: plan.backup.postgresMajor,
      systemIdentifier: systemIdentifier(plan.backup.systemIdentifier),
    });
    const files = await writeFiles({
      manifest,
      restoring: options.restoring,
      directory,
      tablespaces: options.tablespaces,
      owner: options.owner,
      backupManifest,
      writeBackupManifest: (part) => text.write(part),
      signal: options.signal,
      onProgress: options.onProgress,
    });
    finishBackupManifest(text, backupManifest, plan.backup, { control, label });

    await writeOutsideConfiguration(manifest, directory);
    await bringLocalWal(options, control);
    writeRecoveryFiles(options, label);
    giveAway(options);
    await syncTrees([directory, ...options.tablespaces.values()]);
    const controlPath = join(directory, 'global', 'pg_control');
    writeDurably(controlPath, control);
    const owner = ownerOfData(options);
    if (owner) chownSync(controlPath, owner.uid, owner.gid);
    syncDirectory(dirname(directory));
    return { files };
  } finally {
    await manifest.close();
  }
}

async function requireAttachment(manifest: ManifestReader, name: string, backup: BackupRecord): Promise<Uint8Array> {
  const bytes = await manifest.attachment(name);
  if (bytes) return bytes;
  throw new PgrecallError('object-damaged', `the manifest of ${backup.id} has no ${name}`);
}

function finishBackupManifest(
  text: TextFile,
  manifest: BackupManifestWriter,
  backup: BackupRecord,
  documents: { readonly control: Uint8Array; readonly label: Uint8Array },
): void {
  const lastModified = formatGmt(Date.parse(backup.stoppedAt));
  for (const [path, bytes] of [
    ['backup_label', documents.label],
    ['global/pg_control', documents.control],
  ] as const) {
    text.write(manifest.addFile({ path, sizeBytes: bytes.length, lastModified, crc32c: crc32c(bytes) }));
  }
  text.write(
    manifest.finish([
      { timeline: timeline(backup.timeline), startLsn: parseLsn(backup.startLsn), endLsn: parseLsn(backup.endLsn) },
    ]),
  );
  text.close();
}

/**
 * Brings the WAL of the backup itself into pg_wal: the directory can then become consistent, and
 * pg_verifybackup can check it whole, without the repository.
 */
async function bringLocalWal(options: ExecuteRestoreOptions, control: Uint8Array): Promise<void> {
  const { backup } = options.plan;
  const { segmentBytes } = decodeControlFile(control);
  const first = segmentOf(parseLsn(backup.startLsn), segmentBytes);
  const last = segmentBefore(parseLsn(backup.endLsn), segmentBytes);
  if (last - first >= BigInt(localSegments)) return;
  for (let number = first; number <= last; number = segmentNumber(number + 1n)) {
    options.signal.throwIfAborted();
    const name = formatSegmentName({ timeline: timeline(backup.timeline), number }, segmentBytes);
    const bytes = (await options.store.getSegment(name)) ?? (await options.store.getPartial(name));
    if (!bytes) {
      throw new PgrecallError('wal-gap', `segment ${name}, which ${backup.id} needs, is not in the repository`, {
        hint: 'pgrecall verify says what else is missing; another backup may be whole',
        details: { segment: name, backup: backup.id },
      });
    }
    writeDurably(join(options.directory, 'pg_wal', name), bytes);
  }
}

function writeRecoveryFiles(options: ExecuteRestoreOptions, label: Uint8Array): void {
  const { directory } = options;
  writeDurably(join(directory, 'backup_label'), label);
  mkdirSync(dirname(options.script.path), { recursive: true, mode: 0o700 });
  writeDurably(options.script.path, options.script.text, 0o700);
  const auto = join(directory, 'postgresql.auto.conf');
  const previous = existsSync(auto) ? readFileSync(auto, 'utf8') : '';
  writeDurably(auto, withRecoverySettings(previous, { ...options.settings, recovery: options.plan }));
  writeDurably(join(directory, 'recovery.signal'), '');
}

/** As root, what was written here belongs to whoever owns the rest. */
function giveAway(options: ExecuteRestoreOptions): void {
  const owner = ownerOfData(options);
  if (!owner) return;
  const { directory } = options;
  const written = ['backup_label', 'backup_manifest', 'postgresql.auto.conf', 'recovery.signal'].map((name) =>
    join(directory, name),
  );
  for (const path of [...written, dirname(options.script.path), options.script.path]) {
    chownSync(path, owner.uid, owner.gid);
  }
}

function ownerOfData(options: ExecuteRestoreOptions): { readonly uid: number; readonly gid: number } | undefined {
  return options.owner('', '');
}
