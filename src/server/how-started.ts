import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { findProgram } from './as-owner.ts';
import { findDebianCluster } from './find-configuration.ts';
import { readServerCommand, type ServerCommand } from './server-command.ts';

/*
 * Who started a server that runs, so that it can be started again in the same way: a unit of systemd, Debian's
 * pg_ctlcluster, or somebody with pg_ctl or postgres itself, whose command line, environment and log are then what
 * counts. All of it is plain data: another process will start it.
 */

export type StartedBy =
  | { readonly kind: 'systemd'; readonly unit: string }
  | { readonly kind: 'pg_ctlcluster'; readonly program: string; readonly version: string; readonly name: string }
  | {
      readonly kind: 'command';
      readonly command: ServerCommand;
      readonly env: Readonly<Record<string, string>>;
      /** Where its stderr goes. */
      readonly logFile: string;
    };

export interface HowStartedOptions {
  readonly dataDirectory: string;
  readonly pid: number;
  readonly env: NodeJS.ProcessEnv;
  /** For one whose stderr is no file. */
  readonly fallbackLog: string;
  readonly system?: SystemdFacts;
}

/** A test makes it up. */
export interface SystemdFacts {
  /** Whether systemd is what started this machine (sd_booted(3)). */
  readonly runs: () => boolean;
  readonly cgroupOf: (pid: number) => string;
}

/** Throws `server-stop` for one that cannot be started again from here. */
export async function findHowStarted(options: HowStartedOptions): Promise<StartedBy> {
  const { dataDirectory, pid, env, system = systemdFacts } = options;
  if (pid === 1) {
    throw new PgrecallError('server-stop', `the server on "${dataDirectory}" is the first process of its container`, {
      hint: 'stopped, it would take the container with it: stop the container, and back up its volume from outside',
    });
  }
  const unit = system.runs() ? await unitOf(pid, system.cgroupOf(pid), env) : undefined;
  if (unit !== undefined) return { kind: 'systemd', unit };
  const command = readServerCommand(dataDirectory);
  if (!command || !isAbsolute(command.program)) {
    throw new PgrecallError(
      'server-stop',
      `"${dataDirectory}/postmaster.opts" does not say how the server was started`,
      {
        hint: 'stop it yourself, run this without --stop, and start it again',
      },
    );
  }
  const exact = { program: command.program, arguments: argumentsOf(pid) ?? command.arguments };
  return (
    byPgCtlCluster(exact, dataDirectory, env) ?? {
      kind: 'command',
      command: withoutDirectory(exact, dataDirectory),
      env: environmentOf(pid),
      logFile: logOf(pid) ?? options.fallbackLog,
    }
  );
}

/** The unit whose main process it is: one may also have been started from within another service, or from a session. */
async function unitOf(pid: number, cgroup: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const path = /^(?:0:|\d+:name=systemd):(\/system\.slice\/.*)$/m.exec(cgroup)?.[1];
  const unit = path
    ?.split('/')
    .findLast((part) => part.endsWith('.service'))
    ?.replaceAll(/\\x([0-9a-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  if (unit === undefined) return undefined;
  try {
    const { stdout } = await promisify(execFile)('systemctl', ['show', '--property=MainPID', '--value', '--', unit], {
      env,
    });
    return Number(stdout.trim()) === pid ? unit : undefined;
  } catch {
    return undefined;
  }
}

const systemdFacts: SystemdFacts = {
  runs: () => existsSync('/run/systemd/system'),
  cgroupOf: (pid) => readText(`/proc/${pid}/cgroup`),
};

/** Where its command line is the one that pg_ctlcluster makes, with nothing added. */
function byPgCtlCluster(command: ServerCommand, dataDirectory: string, env: NodeJS.ProcessEnv): StartedBy | undefined {
  const cluster = findDebianCluster(dataDirectory, env);
  const program = findProgram('pg_ctlcluster', env);
  if (!cluster || program === undefined) return undefined;
  const rest = withoutDirectory(command, dataDirectory).arguments;
  const own = [`config_file=${join(cluster.directory, 'postgresql.conf')}`, 'external_pid_file='];
  const isOwn = rest.every((word, i) =>
    i % 2 === 0 ? word === '-c' : own.some((setting) => word.startsWith(setting)),
  );
  if (!isOwn || rest.length !== 2 * own.length) return undefined;
  return { kind: 'pg_ctlcluster', program, version: cluster.version, name: cluster.name };
}

/** Without a -D that names the data directory, which whoever starts it gives anyway. */
function withoutDirectory(command: ServerCommand, dataDirectory: string): ServerCommand {
  const [first, directory = '', ...rest] = command.arguments;
  const isSame = first === '-D' && (!isAbsolute(directory) || realOf(directory) === realOf(dataDirectory));
  return isSame ? { program: command.program, arguments: rest } : command;
}

/** As the kernel has them, which postmaster.opts cannot say where there are quotes in them. */
function argumentsOf(pid: number): readonly string[] | undefined {
  const words = readText(`/proc/${pid}/cmdline`).split('\0').slice(0, -1);
  return words.length > 0 ? words.slice(1) : undefined;
}

function environmentOf(pid: number): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of readText(`/proc/${pid}/environ`).split('\0')) {
    const at = line.indexOf('=');
    if (at > 0) found[line.slice(0, at)] = line.slice(at + 1);
  }
  // By which pg_ctl tells a server of its own caller; of another time.
  delete found['PG_GRANDPARENT_PID'];
  return found;
}

function logOf(pid: number): string | undefined {
  try {
    const path = readlinkSync(`/proc/${pid}/fd/2`);
    return isAbsolute(path) && statSync(path).isFile() ? path : undefined;
  } catch {
    return undefined;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
