import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { ClusterConfig, Config, LoadConfigOptions } from '../config/config.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { Repository } from '../repository/repository.ts';
import { pgrecallVersion } from '../version.ts';
import { commands } from './commands.ts';
import type { CliContext } from './context.ts';
import { parseCommandLine, type Invocation } from './program.ts';
import { reportError } from './report-error.ts';

/** Runs one command line from beginning to end; the result is the exit status. Never throws. */
export async function run(argv: readonly string[], launcher: string): Promise<number> {
  let json = argv.includes('--json');
  hideSecrets(argv);
  try {
    const invocation = parseCommandLine(argv, commands, {
      version: pgrecallVersion,
      env: process.env,
      writeOut: (text) => write(1, text),
      writeErr: (text) => write(2, text),
    });
    if (invocation.kind === 'printed') return invocation.exitStatus;
    json = invocation.json;
    const command = await invocation.spec.load();
    return await command(invocation.arguments, makeContext(invocation, launcher));
  } catch (error) {
    const report = reportError(error);
    write(2, `${report.text}\n`);
    if (json) write(1, `${JSON.stringify(report.json, undefined, 2)}\n`);
    return report.exitStatus;
  }
}

/** A password on the command line is seen by everyone who lists processes; the name of this one takes its place. */
function hideSecrets(argv: readonly string[]): void {
  if (argv.some((word) => /:\/\/[^/@\s]*:[^@\s]*@|password\s*=/i.test(word))) process.title = 'pgrecall';
}

function makeContext(invocation: Invocation & { kind: 'command' }, launcher: string): CliContext {
  const configuration: LoadConfigOptions = {
    ...(invocation.configFile === undefined ? {} : { file: invocation.configFile }),
    env: process.env,
    cwd: process.cwd(),
    home: homeDirectory(),
    flags: invocation.arguments.options,
  };
  let config: Promise<Config> | undefined;
  const loadOnce = async (): Promise<Config> => {
    config ??= import('../config/config.ts').then(({ loadConfig }) => loadConfig(configuration));
    return config;
  };
  const signal = interruption();
  return {
    launcher,
    env: process.env,
    cwd: configuration.cwd,
    json: invocation.json,
    terminal: isTerminal(process.stderr),
    signal,
    stdout: (text) => write(1, `${text}\n`),
    stderr: (text) => write(2, `${text}\n`),
    stderrRaw: (text) => write(2, text),
    ...(isTerminal(process.stdin) && isTerminal(process.stderr)
      ? { ask: async (question, suggestion) => (await import('./ask.ts')).askOnTerminal(question, suggestion, signal) }
      : {}),
    now: () => new Date(),
    randomBytes: (length) => randomBytes(length),
    configuration,
    config: loadOnce,
    cluster: async (name) => (await loadOnce()).cluster(name),
    openRepository: openRepositoryOf,
  };
}

async function openRepositoryOf(cluster: ClusterConfig): Promise<Repository> {
  const [{ openRepository }, { openStorage }, { becomeOwnerOf }] = await Promise.all([
    import('../repository/repository.ts'),
    import('../storage/open-storage.ts'),
    import('./privileges.ts'),
  ]);
  // The passphrase may be readable to root alone: read it before becoming someone else.
  const passphrase = await cluster.passphrase();
  becomeOwnerOf(cluster.repositoryDirectory);
  return openRepository(openStorage({ kind: 'local', directory: cluster.repositoryDirectory }), {
    ...(passphrase === undefined ? {} : { passphrase }),
  });
}

/** The first SIGINT or SIGTERM asks the command to end; the second ends the process. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort(new PgrecallError('cancelled', `interrupted by ${signal}`)));
  }
  return controller.signal;
}

/** A property that Node leaves out, rather than false, where the stream is no terminal. */
function isTerminal(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true;
}

/** A user without an entry in the system's list of users, as containers have, has no home. */
function homeDirectory(): string {
  try {
    return userInfo().homedir;
  } catch {
    return process.env['HOME'] ?? '/';
  }
}

/** Writes all of it, synchronously: an answer must not be lost when the process ends. */
function write(descriptor: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      // A reader that is slow (EAGAIN on a pipe) is waited for; one that has gone away needs nothing more.
      if (isErrno(error, 'EPIPE')) return;
      if (!isErrno(error, 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
