import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { SaidLines } from './said-lines.ts';

/** A program of PostgreSQL's to be run; nothing in `arguments` is secret. */
export interface ClientCommand {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export interface RunClientOptions {
  readonly signal: AbortSignal;
  /** Each line of stderr as it comes. */
  readonly onLine: (line: string) => void;
  /** Who takes its stdout: a descriptor, which is closed here, or a function; nobody without it. */
  readonly take?: number | ((bytes: Uint8Array) => void);
  /** Once it runs. */
  readonly onStart?: (pid: number) => void;
}

/** How it ended. */
export interface ClientEnding {
  /** `null` where a signal ended it. */
  readonly exitStatus: number | null;
  readonly killedBy: NodeJS.Signals | null;
  /** Of stderr: the first ones and the last ones, where there were many. */
  readonly lines: readonly string[];
}

/**
 * Runs a program that writes to its end; what it says and how it ended is for the caller to judge. Throws the signal's reason,
 * when the program has ended; `server-program-missing` where it cannot be run.
 */
export async function runClient(command: ClientCommand, options: RunClientOptions): Promise<ClientEnding> {
  const { signal } = options;
  const said = new SaidLines(options.onLine);
  const child = startClient(command, options);
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end);
  try {
    const ending = await endingOf(child, command.program, said);
    signal.throwIfAborted();
    return ending;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function startClient(
  { program, arguments: words, env }: ClientCommand,
  { signal, take, onStart }: RunClientOptions,
): ChildProcess {
  try {
    signal.throwIfAborted();
    const out = typeof take === 'number' ? take : take ? 'pipe' : 'ignore';
    const child = spawn(program, words, { env, stdio: ['ignore', out, 'pipe'] });
    if (typeof take === 'function') child.stdout?.on('data', take);
    if (child.pid !== undefined) onStart?.(child.pid);
    return child;
  } finally {
    // The program has one of its own; whoever reads the other end sees when that is gone.
    if (typeof take === 'number') closeSync(take);
  }
}

/** How a program ends that was just started; `said` takes what it writes to stderr. Rejects with `server-program-missing`. */
export async function endingOf(child: ChildProcess, program: string, said: SaidLines): Promise<ClientEnding> {
  child.stderr?.setEncoding('utf8').on('data', (text: string) => said.add(text));
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      const message = `"${program}" cannot be run: ${cause.message}`;
      reject(new PgrecallError('server-program-missing', message, { cause }));
    });
    child.on('close', (exitStatus, killedBy) => resolve({ exitStatus, killedBy, lines: said.end() }));
  });
}
