import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import {
  compressions,
  DescriptorOutput,
  endings,
  FileOutput,
  type ByteOutput,
  type ExportCompression,
} from '../export/byte-output.ts';
import { exportTar } from '../export/export-tar.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { claimToRead } from '../repository/claim.ts';
import { syncDirectory } from '../restore/durable.ts';
import { requireEmptyDirectory } from '../restore/target-directory.ts';
import { writing } from '../restore/write-error.ts';
import { asRepositoryOwner, findBackup, openCluster, type ClusterAccess } from './cluster-access.ts';
import type { Options, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { runDumpExport } from './export-dump.ts';
import { findNumbers } from './file-owner.ts';
import { formatBytes, formatDuration } from './format.ts';
import { flagOption, requiredPositional, textOption } from './options.ts';
import { giveDirectoryTo, ownerOf } from './privileges.ts';
import { startProgress } from './progress.ts';

/** Where an export goes: a directory, or standard output. */
const standardOutput = '-';

/** `pgrecall export CLUSTER BACKUP --to PATH`: a backup, or a dump, as files that need no pgrecall. */
export const runExport: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const name = requiredPositional(arguments_, 'cluster');
  const wanted = requiredPositional(arguments_, 'backup');
  const to = placeOption(options, context);
  const compression = compressionOption(options);
  const exported = await asRepositoryOwner(context, name, async (access) => {
    const record = findExported(await access.cluster.listBackups({ onDamaged: () => undefined }), wanted, options);
    if (record.kind === 'logical') {
      const place = to === standardOutput ? undefined : to;
      return runDumpExport({ access, record, to: place, compression, options }, context);
    }
    refuseWhatCannot(record, options, to);
    return undefined;
  });
  if (exported !== undefined) return exported;
  if (to !== standardOutput) requireEmptyDirectory(to, 'the directory');
  return exportPhysical({ name, wanted, to, compression }, context);
};

/** The latest of those that are exported like that. */
function findExported(backups: readonly BackupRecord[], wanted: string, options: Options): BackupRecord {
  const kind = flagOption(options, 'tar') ? 'physical' : 'logical';
  const fitting = backups.filter((backup) => backup.kind === kind);
  return findBackup(wanted === 'latest' && fitting.length > 0 ? fitting : backups, wanted);
}

interface PhysicalExport {
  readonly name: string;
  readonly wanted: string;
  readonly to: string;
  readonly compression: ExportCompression;
}

async function exportPhysical({ name, wanted, to, compression }: PhysicalExport, context: CliContext): Promise<number> {
  const { repositoryDirectory } = await context.cluster(name);
  // While this process may still be root; nothing has been made before.
  if (to !== standardOutput) giveDirectoryTo(to, ownerOf(repositoryDirectory));
  const access = await openCluster(context, name);
  const backups = await access.cluster.listBackups({ onDamaged: () => undefined });
  const record = findExported(backups, wanted, { tar: true });
  const exported = await execute(access, record, { to, compression }, context);
  answer(record, exported, context);
  return 0;
}

function placeOption(options: Options, context: CliContext): string {
  const to = textOption(options, 'to');
  if (to === undefined)
    throw new PgrecallError('usage', '--to is missing: a directory or a file, or - for standard output');
  if (to !== standardOutput) return resolve(context.cwd, to);
  if (context.json) throw new PgrecallError('usage', 'standard output cannot carry both the archive and --json');
  if (process.stdout.isTTY)
    throw new PgrecallError('usage', 'standard output is a terminal; an archive is not written to it');
  return to;
}

/** Throws `usage`. */
function compressionOption(options: Options): ExportCompression {
  const text = textOption(options, 'compress') ?? 'none';
  const found = compressions.find((known) => known === text);
  if (found) return found;
  throw new PgrecallError('usage', `--compress is "${text}"; expected ${compressions.join(', ')}`);
}

/** Throws `usage`. */
function refuseWhatCannot(record: BackupRecord, options: Options, to: string): void {
  const wrong = ['split', 'database'].find((option) => options[option] !== undefined);
  if (wrong !== undefined)
    throw new PgrecallError('usage', `--${wrong} is for dumps; ${record.id} is a physical backup`);
  if (!flagOption(options, 'tar')) {
    throw new PgrecallError('usage', `${record.id} is a physical backup, which is exported with --tar`);
  }
  if (to === standardOutput && record.tablespaces.length > 0) {
    throw new PgrecallError(
      'usage',
      `${record.id} has ${record.tablespaces.length} tablespace(s), each of which is an archive of its own: standard output takes one`,
      { hint: 'name a directory with --to' },
    );
  }
}

interface Exported {
  readonly to: string;
  readonly compression: ExportCompression;
  readonly files: number;
  readonly archives: number;
  readonly seconds: number;
}

async function execute(
  access: ClusterAccess,
  record: BackupRecord,
  { to, compression }: { readonly to: string; readonly compression: ExportCompression },
  context: CliContext,
): Promise<Exported> {
  const { cluster, incarnations } = access;
  const incarnation = incarnations.find(({ number }) => number === record.incarnation);
  if (!incarnation) throw new PgrecallError('object-damaged', `cluster.json has no incarnation ${record.incarnation}`);
  const { now, randomBytes, signal } = context;
  // An expiry leaves what it reads.
  await using claim = await claimToRead(cluster, record.id, { purpose: 'export', now, randomBytes });
  void claim;
  const isDirectory = to !== standardOutput;
  if (isDirectory) writing(to, () => mkdirSync(to, { recursive: true, mode: 0o700 }));
  const open = (name: string): ByteOutput => {
    return isDirectory ? new FileOutput(join(to, `${name}.tar${endings[compression]}`)) : new DescriptorOutput(1);
  };
  const progress = startProgress(context, `export of ${record.id}`);
  progress.total(record.sizeBytes);
  const startedMs = now().getTime();
  try {
    const done = await exportTar({
      cluster,
      store: new WalStore(cluster, incarnation),
      record,
      segmentBytes: incarnation.segmentBytes,
      open,
      ...(isDirectory ? { manifestFile: join(to, 'backup_manifest') } : {}),
      compression,
      owner: findNumbers(),
      signal,
      onProgress: progress.advance,
    });
    if (isDirectory) syncDirectory(to);
    return { ...done, to, compression, seconds: Math.max((now().getTime() - startedMs) / 1000, 0.001) };
  } finally {
    progress.end();
  }
}

function answer(record: BackupRecord, exported: Exported, context: CliContext): void {
  const { to, compression, files, archives, seconds } = exported;
  if (context.json) {
    context.stdout(
      JSON.stringify({ backup: record.id, to, files, archives, sizeBytes: record.sizeBytes }, undefined, 2),
    );
    return;
  }
  const what = `${record.id}: ${files} files, ${formatBytes(record.sizeBytes)} in ${archives} archive(s), ${formatDuration(seconds)}`;
  if (to === standardOutput) context.stderr(what);
  else context.stdout(`${what}\nunpack it: mkdir -m 700 DATA && tar -xf ${to}/base.tar${endings[compression]} -C DATA`);
}
