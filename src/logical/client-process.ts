import { spawn } from 'node:child_process';
import { PgrecallError } from '../errors/pgrecall-error.ts';

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
  /** What it writes to stdout, in order; it waits while this does. */
  readonly take: (bytes: Uint8Array) => Promise<void>;
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

/** So many lines from each end, and so much of each, are kept. */
const keptLines = 100;
const keptCharacters = 2000;

/**
 * Runs a program to its end; what it says and how it ended is for the caller to judge. Throws what `take` throws, and the
 * signal's reason, when the program has ended; `server-program-missing` where it cannot be run.
 */
export async function runClient(command: ClientCommand, options: RunClientOptions): Promise<ClientEnding> {
  const { signal, take } = options;
  signal.throwIfAborted();
  const child = spawn(command.program, command.arguments, { env: command.env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = new SaidLines(options.onLine);
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.add(text));
  const ended = new Promise<Pick<ClientEnding, 'exitStatus' | 'killedBy'>>((resolve, reject) => {
    child.on('error', (error) => reject(cannotRun(command.program, error)));
    child.on('close', (exitStatus, killedBy) => resolve({ exitStatus, killedBy }));
  });
  // It is waited for below, whatever comes first.
  ended.catch(() => undefined);
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end);
  try {
    if (child.pid !== undefined) options.onStart?.(child.pid);
    for await (const bytes of child.stdout as AsyncIterable<Uint8Array>) await take(bytes);
    const ending = await ended;
    signal.throwIfAborted();
    return { ...ending, lines: said.end() };
  } catch (error) {
    end();
    await ended.catch(() => undefined);
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function cannotRun(program: string, cause: Error): PgrecallError {
  return new PgrecallError('server-program-missing', `"${program}" cannot be run: ${cause.message}`, { cause });
}

/** Lines as they come in pieces. */
class SaidLines {
  readonly #onLine: (line: string) => void;
  readonly #first: string[] = [];
  readonly #last: string[] = [];
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, keptCharacters);
    for (const line of lines) this.#keep(line);
  }

  #keep(whole: string): void {
    const line = whole.slice(0, keptCharacters);
    if (line.trim() === '') return;
    this.#onLine(line);
    if (this.#first.length < keptLines) this.#first.push(line);
    else if (this.#last.push(line) > keptLines) this.#last.shift();
  }

  end(): readonly string[] {
    if (this.#rest !== '') this.#keep(this.#rest);
    this.#rest = '';
    return [...this.#first, ...this.#last];
  }
}
