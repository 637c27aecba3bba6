import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { libpqEnvironment } from '../connection/libpq-environment.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { claimToRead } from '../repository/claim.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpedDatabase, DumpFormat } from '../repository/dump-facts.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import type { ClientPrograms } from '../server/client-programs.ts';
import type { ClientEnding } from './client-process.ts';
import { directoryPath, dumpPath } from './dump-arguments.ts';
import { explainFailedLoad } from './explain-load.ts';
import { feedClient } from './feed-client.ts';
import { restoreArguments, scriptArguments } from './load-arguments.ts';
import { writeDumpFiles } from './load-files.ts';
import { createTarget, type LoadTarget, type LoadTargetRequest } from './load-target.ts';
import { listDumpFiles, readDumpFile } from './read-dump.ts';

/*
 * Loads a dump into a database. A plain one goes through psql in a transaction of our own, which is committed after the last
 * byte was checked: not psql's --single-transaction, which commits what it has when its input ends, also where that is
 * because pgrecall was killed. Archives go through pg_restore, which goes on after errors and counts them: from a pipe, or
 * where several connections load, or the format is a directory, from temporary files.
 */

export interface LoadOptions {
  readonly cluster: ClusterRepository;
  readonly record: BackupRecord;
  readonly format: DumpFormat;
  readonly source: DumpedDatabase;
  readonly request: LoadTargetRequest;
  readonly target: LoadTarget;
  readonly programs: ClientPrograms;
  readonly jobs: number;
  /** More of pg_restore's own options. */
  readonly options: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** An empty directory of our own, made when it is needed. */
  readonly temporaryDirectory: () => string;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

/** Bytes of the dump that were loaded. Throws `load-failed`; what connecting and reading the repository throw. */
export async function loadDump(options: LoadOptions): Promise<number> {
  const { cluster, record, format, target, request, now, randomBytes } = options;
  await using claim = await claimToRead(cluster, record.id, { purpose: 'load', now, randomBytes });
  void claim;
  const files = filesOf(options, await listDumpFiles(cluster, record.id));
  if (target.missing) await createTarget(target, request);
  if (format === 'plain') await loadScript(options, only(files));
  else if (format === 'directory' || (format === 'custom' && options.jobs > 1)) await loadFiles(options, format, files);
  else await loadStream(options, format, only(files));
  return [...files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** By the names that pg_restore would find them under. Throws `object-missing`. */
function filesOf(
  { record, format, source }: LoadOptions,
  all: ReadonlyMap<string, StoredEntry>,
): Map<string, StoredEntry> {
  const files = new Map<string, StoredEntry>();
  const prefix = format === 'directory' ? directoryPath(source.oid, '') : '';
  for (const [path, file] of all) {
    if (format === 'directory' ? path.startsWith(prefix) : path === dumpPath(source.oid, format)) {
      files.set(path.slice(path.lastIndexOf('/') + 1), file);
    }
  }
  if (files.size > 0) return files;
  throw new PgrecallError('object-missing', `the dump ${record.id} has no file of the database "${source.name}"`);
}

function only(files: ReadonlyMap<string, StoredEntry>): StoredEntry {
  const [file] = files.values();
  if (!file) throw new PgrecallError('object-missing', 'the dump has no file');
  return file;
}

async function loadScript(options: LoadOptions, file: StoredEntry): Promise<void> {
  async function* transaction(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('BEGIN;\n');
    yield* counted(options, file);
    yield Buffer.from('\nCOMMIT;\n');
  }
  const ending = await run(options, options.programs.psql, scriptArguments, transaction());
  // Large objects come with transactions of their own, which end ours.
  const undone = !ending.lines.some((line) => /already a transaction in progress/.test(line));
  if (ending.exitStatus !== 0) throw failed(options, 'psql', ending, undone);
}

async function loadStream(options: LoadOptions, format: 'custom' | 'tar', file: StoredEntry): Promise<void> {
  const { target, programs } = options;
  const arguments_ = restoreArguments(format, target.database, options.options);
  const ending = await run(options, programs.pgRestore, arguments_, counted(options, file));
  if (ending.exitStatus !== 0) throw failed(options, 'pg_restore', ending, false);
}

async function loadFiles(
  options: LoadOptions,
  format: 'custom' | 'directory',
  files: ReadonlyMap<string, StoredEntry>,
): Promise<void> {
  const { cluster, target, programs, request, onProgress, say, jobs } = options;
  const parent = options.temporaryDirectory();
  try {
    const directory = join(parent, 'dump');
    await writeDumpFiles({ cluster, files, directory, signal: request.signal, onProgress });
    say('written to temporary files; pg_restore loads them');
    const [name = ''] = files.keys();
    const path = format === 'directory' ? directory : join(directory, name);
    const arguments_ = restoreArguments(format, target.database, options.options, { path, jobs });
    const ending = await run(options, programs.pgRestore, arguments_);
    if (ending.exitStatus !== 0) throw failed(options, 'pg_restore', ending, false);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

async function* counted({ cluster, onProgress }: LoadOptions, file: StoredEntry): AsyncGenerator<Uint8Array> {
  for await (const bytes of readDumpFile(cluster, file)) {
    yield bytes;
    onProgress(bytes.length);
  }
}

async function run(
  { request, target, env, say }: LoadOptions,
  program: string,
  arguments_: readonly string[],
  feed?: AsyncIterable<Uint8Array>,
): Promise<ClientEnding> {
  const environment = libpqEnvironment(request.connection, {
    env,
    applicationName: 'pgrecall load',
    database: target.database,
  });
  return feedClient(
    { program, arguments: arguments_, env: environment },
    { signal: request.signal, onLine: say, ...(feed ? { feed } : {}) },
  );
}

function failed({ target }: LoadOptions, name: string, ending: ClientEnding, undone: boolean): PgrecallError {
  return explainFailedLoad({ name, database: target.database, ending, undone });
}
