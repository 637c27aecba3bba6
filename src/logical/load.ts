import { PgrecallError } from '../errors/pgrecall-error.ts';
import { claimToRead } from '../repository/claim.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { directoryPath, dumpPath } from './dump-arguments.ts';
import { explainFailedLoad } from './explain-load.ts';
import { loadArchive } from './load-archive.ts';
import { scriptArguments } from './load-arguments.ts';
import { LoadPlace } from './load-notes.ts';
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
  const sizeBytes = [...files.values()].reduce((sum, file) => sum + file.sizeBytes, 0);
  options.onTotal(sizeBytes);
  const place = LoadPlace.open(options.stateDirectory, {
    ...{ dump: record.id, startedAt: now().toISOString() },
    ...{ host: target.host, port: target.port, database: target.database, oid: target.oid },
  });
  let isMade = false;
  try {
    if (target.missing) {
      place.targetIs(await createTarget(target, request));
      isMade = true;
    }
    if (format === 'plain') await loadScript(options, files, place);
    else await loadArchive(options, format, files, place);
  } catch (error) {
    throw leavePlace(place, error, options, isMade);
  }
  place.remove();
  return sizeBytes;
}

/** The error, with what became of the database. The note stays where it may be incomplete. */
function leavePlace(place: LoadPlace, error: unknown, { target, format }: LoadOptions, isMade: boolean): unknown {
  if (!place.begun || (error instanceof PgrecallError && error.details['incomplete'] === false)) {
    place.remove();
    return isMade ? told(error, `"${target.database}" was made for this load, and is empty`) : error;
  }
  place.leave();
  // What psql was given is committed at its end, if ever.
  if (format === 'plain' || (error instanceof PgrecallError && error.code === 'load-failed')) return error;
  return incomplete(error, target.database);
}

function incomplete(error: unknown, database: string): unknown {
  return told(error, `"${database}" is incomplete`, { incomplete: true });
}

function told(error: unknown, state: string, more: Readonly<Record<string, unknown>> = {}): unknown {
  if (!(error instanceof PgrecallError)) return error;
  return new PgrecallError(error.code, `${error.message}; ${state}`, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: { ...error.details, ...more },
    cause: error,
  });
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

async function loadScript(
  options: LoadOptions,
  files: ReadonlyMap<string, StoredEntry>,
  place: LoadPlace,
): Promise<void> {
  const { target, programs, say } = options;
  async function* transaction(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('BEGIN;\n');
    for (const file of files.values()) yield* countedBytes(options, file);
    yield Buffer.from('\nCOMMIT;\n');
  }
  // Large objects come with transactions of their own, which end ours.
  let isEnded = false;
  const onLine = (line: string): void => {
    isEnded ||= /already a transaction in progress/.test(line);
    say(line);
  };
  const script = { program: programs.psql, words: scriptArguments, onLine, feed: transaction() };
  place.begin();
  try {
    const ending = await runLoader(options, script);
    if (ending.exitStatus === 0) return;
    throw explainFailedLoad({ name: 'psql', database: target.database, ending, undone: !isEnded });
  } catch (error) {
    const isTold = error instanceof PgrecallError && error.code === 'load-failed';
    throw isEnded && !isTold ? incomplete(error, target.database) : error;
  }
}
