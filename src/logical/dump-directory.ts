import { readFileSync, readdirSync, readlinkSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { UnderWay } from '../threads/under-way.ts';
import { chunkClassOf } from './chunk-cutter.ts';
import { directoryPath, dumpArguments } from './dump-arguments.ts';
import type { ServerDatabase } from './dump-server.ts';
import { clientCommand, runDump, type Dumping } from './dumping.ts';

/*
 * The directory format, which alone can be dumped by several connections at once, is written to files. They pass through a
 * directory of our own: one that no process of pg_dump has open any more is complete, is stored, and is removed while
 * pg_dump goes on. So there has to be room for the tables that are being dumped, not for the database.
 */

const pollMs = 200;

export async function dumpDirectory(dumping: Dumping, database: ServerDatabase): Promise<void> {
  const { options } = dumping;
  const parent = options.temporaryDirectory();
  const directory = join(parent, 'dump');
  try {
    checkRoom(parent, database);
    await dumpThrough(dumping, database, directory);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

/** A table can be as large as its database; indexes, which a dump has not, make up for what text takes more. */
function checkRoom(directory: string, { name, sizeBytes }: ServerDatabase): void {
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  if (free >= sizeBytes / 10) return;
  throw new PgrecallError(
    'disk-full',
    `"${directory}" has ${free} bytes free, too few for dumping "${name}", of ${sizeBytes} bytes, in the directory format`,
    {
      hint: 'set state_directory to a file system with room for its largest tables, or dump in the custom format, which needs none',
      details: { directory, freeBytes: free, databaseBytes: sizeBytes },
    },
  );
}

async function dumpThrough(dumping: Dumping, database: ServerDatabase, directory: string): Promise<void> {
  const { options } = dumping;
  const { programs, selection, jobs } = options;
  const dumpedAs = { format: 'directory', major: programs.major, database: database.name } as const;
  const command = clientCommand(
    options,
    programs.pgDump,
    [...dumpArguments(dumpedAs, selection), `--jobs=${jobs}`, '--no-sync', `--file=${directory}`],
    database.name,
  );
  let pid: number | 'ended' | undefined;
  const ended = new AbortController();
  const failed = new AbortController();
  const watched = { ...dumping, options: { ...options, signal: AbortSignal.any([options.signal, failed.signal]) } };
  const dumped = runDump(watched, database, command, { onStart: (started) => (pid = started) }).finally(() =>
    ended.abort(),
  );
  dumped.catch(() => undefined);
  try {
    while (!ended.signal.aborted) {
      await Promise.race([sleep(pollMs), dumped]);
      if (!ended.signal.aborted) await storeFinished(dumping, database, directory, pid);
    }
    await dumped;
    await storeFinished(dumping, database, directory, 'ended');
  } catch (error) {
    failed.abort(error);
    await dumped.catch(() => undefined);
    throw error;
  }
}

/** Files that nobody has open any more; without /proc none is known to be, until pg_dump has ended. */
async function storeFinished(
  dumping: Dumping,
  database: ServerDatabase,
  directory: string,
  pid: number | 'ended' | undefined,
): Promise<void> {
  // In this order: one that is made later is not among them, and whoever makes one has it open.
  const names = listFiles(directory);
  const open = pid === 'ended' ? new Set() : pid === undefined ? undefined : openFiles(pid);
  if (!open) return;
  const { options, storing, files } = dumping;
  const chunkClass = chunkClassOf(database.sizeBytes);
  const storeAndRemove = async (name: string, path: string): Promise<void> => {
    files.set(directoryPath(database.oid, name), await storing.store({ source: { path }, chunkClass }));
    rmSync(path);
  };
  const underWay = new UnderWay();
  try {
    for (const name of names) {
      const path = join(directory, name);
      if (open.has(path)) continue;
      options.signal.throwIfAborted();
      await underWay.fewerThan(storing.parallel + 1);
      underWay.start(storeAndRemove(name, path));
    }
    await underWay.allDone();
  } finally {
    await underWay.allSettled();
  }
}

/** Before pg_dump has made it there is none. */
function listFiles(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    return [];
  }
}

/** What a process and its children have open; `undefined` where the system does not tell. */
function openFiles(pid: number): ReadonlySet<string> | undefined {
  try {
    const found = new Set<string>();
    for (const process of [pid, ...childrenOf(pid)]) {
      for (const name of readdirSync(`/proc/${process}/fd`)) {
        try {
          found.add(readlinkSync(`/proc/${process}/fd/${name}`));
        } catch {
          // Closed in between.
        }
      }
    }
    return found;
  } catch {
    return undefined;
  }
}

/** The processes that dump tables beside it. */
function childrenOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}
