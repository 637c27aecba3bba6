import { PgrecallError } from '../errors/pgrecall-error.ts';
import { claimToRead } from '../repository/claim.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { directoryPath, dumpPath } from './dump-arguments.ts';
import { explainFailedLoad } from './explain-load.ts';
import { loadArchive } from './load-archive.ts';
import { scriptArguments } from './load-arguments.ts';
import { createTarget } from './load-target.ts';
import { countedBytes, runLoader, type LoadOptions } from './loading.ts';
import { listDumpFiles } from './read-dump.ts';

/*
 * Loads a dump into a database. A plain one goes through psql in a transaction of our own, which is committed after the last
 * byte was checked: not psql's --single-transaction, which commits what it has when its input ends, also where that is
 * because pgrecall was killed. Archives go through pg_restore (load-archive.ts).
 */

/** Bytes of the dump that were loaded. Throws `load-failed`; what connecting and reading the repository throw. */
export async function loadDump(options: LoadOptions): Promise<number> {
  const { cluster, record, format, target, request, now, randomBytes } = options;
  await using claim = await claimToRead(cluster, record.id, { purpose: 'load', now, randomBytes });
  void claim;
  const files = filesOf(options, await listDumpFiles(cluster, record.id));
  if (target.missing) await createTarget(target, request);
  if (format === 'plain') await loadScript(options, files);
  else await loadArchive(options, format, files);
  return [...files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** By the names that pg_restore would find them under; at least one. Throws `object-missing`. */
function filesOf(
  { record, format, source }: LoadOptions,
  all: ReadonlyMap<string, StoredEntry>,
): ReadonlyMap<string, StoredEntry> {
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

async function loadScript(options: LoadOptions, files: ReadonlyMap<string, StoredEntry>): Promise<void> {
  const { target, programs, say } = options;
  async function* transaction(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('BEGIN;\n');
    for (const file of files.values()) yield* countedBytes(options, file);
    yield Buffer.from('\nCOMMIT;\n');
  }
  const script = { program: programs.psql, words: scriptArguments, onLine: say, feed: transaction() };
  const ending = await runLoader(options, script);
  if (ending.exitStatus === 0) return;
  // Large objects come with transactions of their own, which end ours.
  const undone = !ending.lines.some((line) => /already a transaction in progress/.test(line));
  throw explainFailedLoad({ name: 'psql', database: target.database, ending, undone });
}
