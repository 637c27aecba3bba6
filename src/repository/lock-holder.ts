import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isErrno } from '../errors/pgrecall-error.ts';
import { fields, integer, text, type Check } from './json-shape.ts';

/** Who holds a lock: enough to tell later, on the same host, whether that process still lives. */
export interface LockHolder {
  readonly host: string;
  /** Tells two machines of one name apart; empty where the system has none. */
  readonly machine: string;
  /** Changes with every start of the system. */
  readonly boot: string;
  /** The space that process numbers belong to: containers have their own. */
  readonly pidSpace: string;
  readonly pid: number;
  /** Clock ticks after boot (field 22 of /proc/<pid>/stat): tells a process from a later one of that number. */
  readonly startTicks: string;
}

export const checkLockHolder: Check = fields({
  host: text(256),
  machine: text(64),
  boot: text(64),
  pidSpace: text(64),
  pid: integer(1, 2 ** 31),
  startTicks: text(32),
});

export type HolderState = 'alive' | 'dead' | 'elsewhere';

/** How a lock looks at processes; a test passes another. */
export interface ProcessTable {
  self(): LockHolder;
  stateOf(holder: LockHolder): HolderState;
}

/** The processes of this system. */
export const systemProcesses: ProcessTable = {
  self: () => ({
    host: hostname(),
    machine: readText('/etc/machine-id'),
    boot: readText('/proc/sys/kernel/random/boot_id'),
    pidSpace: readPidSpace(),
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? '',
  }),
  stateOf(holder) {
    const self = this.self();
    if (holder.host !== self.host || holder.machine !== self.machine) return 'elsewhere';
    // The system was started anew since: nothing of before lives.
    if (holder.boot !== self.boot) return 'dead';
    if (holder.pidSpace !== self.pidSpace) return 'elsewhere';
    if (!exists(holder.pid)) return 'dead';
    if (holder.startTicks === '') return 'alive';
    return startTicksOf(holder.pid) === holder.startTicks ? 'alive' : 'dead';
  },
};

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, 'ESRCH');
  }
}

/** Clock ticks from boot to its start; `undefined` where there is no such process, or only what its parent has not yet noticed of it (a zombie). */
export function startTicksOf(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  // The name of the program stands in parentheses and may contain any character.
  const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (stat === '' || after[0] === 'Z' || after[0] === 'X') return undefined;
  return after[19];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function readPidSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
