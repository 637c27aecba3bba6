import { readFileSync, readdirSync, statSync, statfsSync } from 'node:fs';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { readPostmasterPid, type PostmasterPid } from './postmaster-pid.ts';
import { isServerRunning } from './running.ts';

/*
 * Whether a data directory is at rest: nobody writes to it. Harder to say than whether its server runs:
 *
 * - a server that was killed may leave backends behind, which write on;
 * - postmaster.pid stays after a crash, and its process number means nothing in another container or on another host.
 *
 * So it is at rest where there is no postmaster.pid and no process of PostgreSQL that works in the directory; or where
 * that file is proved to be of a server that is gone: nobody is attached to the shared memory that the file names
 * (storage/ipc's own question, sysv_shmem.c), or the file is older than this system's boot. Otherwise it cannot be told
 * from here.
 */

export type DirectoryUse =
  | { readonly kind: 'at-rest' }
  /** A server crashed, and is gone with all its processes. */
  | { readonly kind: 'left-behind'; readonly lock: PostmasterPid }
  /** `what` for a message: "a server", "a process of PostgreSQL". */
  | { readonly kind: 'running'; readonly pid: number; readonly what: string }
  | { readonly kind: 'unknown'; readonly lock: PostmasterPid; readonly why: string };

export interface SharedMemory {
  readonly key: number;
  readonly id: number;
  readonly attached: number;
  /** Unix seconds. */
  readonly madeAt: number;
}

/** What is asked of the system; a test makes it up. */
export interface SystemFacts {
  /** Processes of PostgreSQL whose working directory is this one, as far as this user may see. */
  readonly processesIn: (directory: string) => readonly number[];
  readonly sharedMemory: () => readonly SharedMemory[];
  /** Unix seconds; `undefined` where it is not known. */
  readonly bootedAt: () => number | undefined;
  /** Whether other hosts may have the directory mounted. */
  readonly isShared: (directory: string) => boolean;
}

/** Clocks may be set between the boot and the start of a server. */
const bootSlackSeconds = 60;
/** Between the start of a server and the making of its shared memory. */
const startSlackSeconds = 300;

export function findDirectoryUse(dataDirectory: string, system: SystemFacts = systemFacts): DirectoryUse {
  const lock = readPostmasterPid(dataDirectory);
  if (lock && isServerRunning(dataDirectory)) {
    return { kind: 'running', pid: Math.abs(lock.pid), what: lock.pid < 0 ? 'a single-user backend' : 'a server' };
  }
  const [process] = system.processesIn(dataDirectory);
  if (process !== undefined) return { kind: 'running', pid: process, what: 'a process of PostgreSQL' };
  if (!lock) return { kind: 'at-rest' };
  if (system.isShared(dataDirectory)) {
    return { kind: 'unknown', lock, why: 'the directory is on a network file system, where another host may use it' };
  }
  const memory = system.sharedMemory().find((segment) => isOf(lock, segment));
  if (memory) {
    if (memory.attached === 0) return { kind: 'left-behind', lock };
    return { kind: 'running', pid: lock.pid, what: `a server with ${memory.attached} processes` };
  }
  const bootedAt = system.bootedAt();
  if (bootedAt !== undefined && lock.startedAt < bootedAt - bootSlackSeconds) return { kind: 'left-behind', lock };
  return { kind: 'unknown', lock, why: 'it may run in another container' };
}

/** Key and identifier alone could be those of another namespace, where both begin anew. */
function isOf(lock: PostmasterPid, { key, id, madeAt }: SharedMemory): boolean {
  const { sharedMemory, startedAt } = lock;
  const delay = madeAt - startedAt;
  return sharedMemory?.key === key && sharedMemory.id === id && delay >= -1 && delay <= startSlackSeconds;
}

/** Throws `server-running` unless the directory is at rest; gives the lock file that a crash has left, if one has. */
export function requireAtRest(dataDirectory: string, system?: SystemFacts): PostmasterPid | undefined {
  const use = findDirectoryUse(dataDirectory, system);
  switch (use.kind) {
    case 'at-rest':
      return undefined;
    case 'left-behind':
      return use.lock;
    case 'running':
      throw new PgrecallError(
        'server-running',
        `${use.what} runs on "${dataDirectory}" (process ${use.pid}); a cold backup is one of a stopped cluster`,
        { details: { dataDirectory, pid: use.pid } },
      );
    case 'unknown':
      throw new PgrecallError(
        'server-running',
        `"${dataDirectory}/postmaster.pid" names process ${use.lock.pid}, and whether that server is gone cannot be told from here: ${use.why}`,
        {
          hint: `where it is certain that no server uses the directory, on any host and in any container, remove that file and run this again`,
          details: { dataDirectory, pid: use.lock.pid },
        },
      );
  }
}

const systemFacts: SystemFacts = {
  processesIn,
  sharedMemory: () => parseSharedMemory(readOrNothing('/proc/sysvipc/shm')),
  bootedAt: () => {
    const match = /^btime (\d+)$/m.exec(readOrNothing('/proc/stat'));
    return match ? Number(match[1]) : undefined;
  },
  isShared: (directory) => sharedFileSystems.has(statfsSync(directory).type),
};

/** f_type of statfs(2): NFS, SMB and its successor, Ceph, OCFS2, GFS2, GPFS, Lustre, AFS, 9P, FUSE (GlusterFS and others). */
const sharedFileSystems = new Set([
  0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x00c3_6400, 0x7461_636f, 0x0116_1970, 0x4750_4653, 0x0bd0_0bd0,
  0x5346_414f, 0x0102_1997, 0x6573_5546,
]);

/** Of a container on this host, too: its processes are seen from here, under other numbers. */
function processesIn(directory: string): readonly number[] {
  const wanted = statSync(directory);
  const found: number[] = [];
  for (const name of readdirOrNothing('/proc')) {
    const pid = Number(name);
    if (
      !Number.isInteger(pid) ||
      !/^(?:postgres|postmaster|edb-postgres)\s*$/.test(readOrNothing(`/proc/${name}/comm`))
    )
      continue;
    try {
      const works = statSync(`/proc/${name}/cwd/`);
      if (works.ino === wanted.ino && works.dev === wanted.dev) found.push(pid);
    } catch {
      // It has ended, or is another user's.
    }
  }
  return found;
}

/** Columns by their names in the first line. */
function parseSharedMemory(text: string): SharedMemory[] {
  const [names = [], ...rows] = text.split('\n').map((line) => line.trim().split(/\s+/));
  const at = (row: readonly string[], name: string): number => Number(row[names.indexOf(name)]);
  return rows
    .filter((row) => row.length === names.length)
    .map((row) => ({
      key: at(row, 'key'),
      id: at(row, 'shmid'),
      attached: at(row, 'nattch'),
      madeAt: at(row, 'ctime'),
    }));
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readdirOrNothing(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
