import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../errors/pgrecall-error.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { explainFailedLoad } from './explain-load.ts';
import { isSingleTransaction, restoreArguments } from './load-arguments.ts';
import { writeDumpFiles, writeTarMembers } from './load-files.ts';
import type { LoadPlace } from './load-notes.ts';
import { countedBytes, runLoader, type ArchiveFormat, type LoadOptions } from './loading.ts';
import { RestoreLines } from './restore-lines.ts';

/*
 * An archive, through pg_restore: from a pipe, or, where several connections load or the format is a directory, from temporary
 * files. pg_restore goes on after errors, and counts them.
 */

/** Throws `load-failed`, and what reading the repository throws. */
export async function loadArchive(
  options: LoadOptions,
  format: ArchiveFormat,
  files: ReadonlyMap<string, StoredEntry>,
  place: LoadPlace,
): Promise<void> {
  // The table of contents of a tar archive cannot be changed on its way: its size stands before it.
  const fromFiles = format === 'directory' || options.jobs > 1 || (format === 'tar' && options.rights.map.size > 0);
  if (!fromFiles && options.entries === undefined) {
    await restore(options, place, { format, listFile: undefined, feed: only(files) });
    return;
  }
  const parent = place.temporaryDirectory();
  try {
    const listFile = options.entries && writeList(parent, options.entries);
    if (fromFiles) await loadFiles(options, place, { format, files, parent, listFile });
    else await restore(options, place, { format, listFile, feed: only(files) });
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

/** For `--use-list`, which reads the ids, and nothing else. */
function writeList(parent: string, entries: NonNullable<LoadOptions['entries']>): string {
  const path = join(parent, 'list');
  writeFileSync(path, entries.map(({ dumpId }) => `${dumpId};\n`).join(''), { mode: 0o600, flag: 'wx' });
  return path;
}

interface Files {
  readonly format: ArchiveFormat;
  readonly files: ReadonlyMap<string, StoredEntry>;
  readonly parent: string;
  readonly listFile: string | undefined;
}

async function loadFiles(
  options: LoadOptions,
  place: LoadPlace,
  { format, files, parent, listFile }: Files,
): Promise<void> {
  const { cluster, request, onProgress, say, jobs, entries } = options;
  const directory = join(parent, 'dump');
  const { map } = options.rights;
  const wanted = wantedFiles(files, entries);
  const sizeBytes = [...wanted.values()].reduce((sum, file) => sum + file.sizeBytes, 0);
  options.onTotal(sizeBytes);
  say(`pg_restore has to seek in the dump: it is written to "${directory}" first, ${sizeBytes} bytes`);
  const written = { cluster, files: wanted, directory, signal: request.signal, onProgress, map };
  if (format === 'tar') await writeTarMembers(written);
  else await writeDumpFiles(written);
  say(
    `written to temporary files; pg_restore loads them over ${jobs === 1 ? 'one connection' : `${jobs} connections`}`,
  );
  const [name = ''] = files.keys();
  const path = format === 'custom' ? join(directory, name) : directory;
  // What a tar archive consists of is what a dump in the directory format is.
  await restore(options, place, { format: format === 'tar' ? 'directory' : format, listFile, from: { path, jobs } });
}

/** Of a directory, without the rows of tables that are not. */
function wantedFiles(
  files: ReadonlyMap<string, StoredEntry>,
  entries: LoadOptions['entries'],
): ReadonlyMap<string, StoredEntry> {
  if (!entries || !files.has('toc.dat')) return files;
  const wanted = new Set(['toc.dat', ...entries.flatMap(({ file }) => file ?? [])]);
  // Of archives that were made elsewhere some files have kept the ending of their compression.
  return new Map([...files].filter(([name]) => wanted.has(name.replace(/\.(?:gz|lz4|zst)$/, ''))));
}

interface Restore {
  readonly format: ArchiveFormat;
  readonly listFile: string | undefined;
  readonly feed?: StoredEntry;
  readonly from?: { readonly path: string; readonly jobs: number };
}

async function restore(
  options: LoadOptions,
  place: LoadPlace,
  { format, listFile, feed, from }: Restore,
): Promise<void> {
  const { target, programs, rights, onObject, say } = options;
  const lines = new RestoreLines({ onObject, onLine: say });
  const words = restoreArguments({
    format,
    database: target.database,
    rights,
    options: options.options,
    listFile,
    ...(from ? { from } : {}),
  });
  place.begin();
  const ending = await runLoader(options, {
    program: programs.pgRestore,
    words,
    isPassing: (line) => lines.take(line),
    // They have been told, as far as they are shown.
    onLine: () => undefined,
    ...(feed ? { feed: countedBytes(options, feed) } : {}),
  });
  if (ending.exitStatus === 0 || (ending.exitStatus === 1 && lines.onlyUnknownSettings)) return;
  const { errors, failures } = lines;
  const undone = isSingleTransaction(options.options);
  throw explainFailedLoad({ name: 'pg_restore', database: target.database, ending, undone, errors, failures });
}

function only(files: ReadonlyMap<string, StoredEntry>): StoredEntry {
  const [file] = files.values();
  assert(file, 'a dump without files');
  return file;
}
