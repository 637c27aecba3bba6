import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { ClusterConfig, Config } from '../config/config.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { pgrecallVersion } from '../version.ts';
import { commands } from './commands.ts';
import type { CliContext } from './context.ts';
import { parseCommandLine, type Invocation } from './program.ts';
import { reportError } from './report-error.ts';

/** Runs one command line from beginning to end; the result is the exit status. Never throws. */
export async function run(argv: readonly string[], launcher: string): Promise<number> {
  let json = argv.includes('--json');
  try {
    const invocation = parseCommandLine(argv, commands, pgrecallVersion, (text) => write(1, text));
    if (!invocation) return 0;
    json = invocation.json;
    const command = await invocation.spec.load();
    const status = await command(invocation.arguments, makeContext(invocation, launcher));
    return status;
  } catch (error) {
    const report = reportError(error);
    write(2, `${report.text}\n`);
    if (json) write(1, `${JSON.stringify(report.json, undefined, 2)}\n`);
    return report.exitStatus;
  }
}

function makeContext(invocation: Invocation, launcher: string): CliContext {
  let config: Promise<Config> | undefined;
  const loadOnce = (): Promise<Config> =>
    (config ??= import('../config/config.ts').then(async ({ loadConfig }) =>
      loadConfig({
        ...(invocation.configFile === undefined ? {} : { file: invocation.configFile }),
        env: process.env,
        cwd: process.cwd(),
        home: userInfo().homedir,
        flags: invocation.arguments.options,
      }),
    ));
  return {
    launcher,
    env: process.env,
    cwd: process.cwd(),
    json: invocation.json,
    terminal: process.stderr.isTTY,
    signal: interruption(),
    stdout: (text) => write(1, `${text}\n`),
    stderr: (text) => write(2, `${text}\n`),
    stderrRaw: (text) => write(2, text),
    now: () => new Date(),
    randomBytes: (length) => randomBytes(length),
    config: loadOnce,
    cluster: async (name) => (await loadOnce()).cluster(name),
    openRepository: openRepositoryOf,
  };
}

async function openRepositoryOf(cluster: ClusterConfig): Promise<import('../repository/repository.ts').Repository> {
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
