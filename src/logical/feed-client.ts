import { spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import { endingOf, type ClientCommand, type ClientEnding } from './client-process.ts';
import { SaidLines } from './said-lines.ts';

export interface FeedClientOptions {
  readonly signal: AbortSignal;
  /** Each line of stderr as it comes. What it writes to stdout goes nowhere. */
  readonly onLine: (line: string) => void;
  /** Lines that are neither told nor kept: they tell of progress. */
  readonly isPassing?: (line: string) => boolean;
  /** What it reads from stdin, if it reads that; each piece is good until the next is asked for. */
  readonly feed?: AsyncIterable<Uint8Array>;
}

/**
 * Runs a program that reads to its end; what it says and how it ended is for the caller to judge. Throws what `feed` throws:
 * the program is killed then before it sees an end of its input; the signal's reason, when the program has ended;
 * `server-program-missing` where it cannot be run.
 */
export async function feedClient(
  { program, arguments: words, env }: ClientCommand,
  { signal, onLine, isPassing, feed }: FeedClientOptions,
): Promise<ClientEnding> {
  signal.throwIfAborted();
  const child = spawn(program, words, { env, stdio: ['pipe', 'ignore', 'pipe'] });
  const ended = endingOf(child, program, new SaidLines(onLine, isPassing));
  // It is waited for below, whatever comes first.
  ended.catch(() => undefined);
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end);
  try {
    await feedInto(child.stdin, feed ?? []);
    const ending = await ended;
    signal.throwIfAborted();
    return ending;
  } catch (error) {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** A program that reads no more has ended, or is about to: how, it says itself. */
async function feedInto(stdin: Writable, feed: AsyncIterable<Uint8Array> | readonly Uint8Array[]): Promise<void> {
  let closed = false;
  const isClosed = new Promise<void>((resolve) => stdin.on('close', resolve).on('error', () => resolve()));
  void isClosed.then(() => (closed = true));
  for await (const bytes of feed) {
    if (closed) return;
    const written = new Promise<void>((resolve) => stdin.write(bytes, () => resolve()));
    await Promise.race([written, isClosed]);
  }
  stdin.end();
}
