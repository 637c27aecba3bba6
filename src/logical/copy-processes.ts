import { spawn } from 'node:child_process';
import { endingOf, type ClientCommand, type ClientEnding } from './client-process.ts';
import { SaidLines } from './said-lines.ts';

export interface PipedClients {
  readonly dump: ClientCommand;
  readonly restore: ClientCommand;
  readonly signal: AbortSignal;
  readonly onDumpLine: (line: string) => void;
  /** Whether a line of the other one tells of progress, and need not be kept. */
  readonly isPassing: (line: string) => boolean;
}

export interface PipedEndings {
  readonly dump: ClientEnding;
  readonly restore: ClientEnding;
}

/**
 * Runs pg_dump into pg_restore: the kernel carries the bytes, this process sees none. How they end is for the caller to judge;
 * where the one that reads fails, the other one is ended. Throws the signal's reason, when both have ended;
 * `server-program-missing` where one cannot be run.
 */
export async function runPiped({ dump, restore, signal, onDumpLine, isPassing }: PipedClients): Promise<PipedEndings> {
  signal.throwIfAborted();
  const reader = spawn(restore.program, restore.arguments, { env: restore.env, stdio: ['pipe', 'ignore', 'pipe'] });
  const readerEnding = endingOf(reader, restore.program, new SaidLines(() => undefined, isPassing));
  // A reader that is gone before it could be given to somebody.
  reader.stdin.on('error', () => undefined);
  const writer = spawn(dump.program, dump.arguments, { env: dump.env, stdio: ['ignore', reader.stdin, 'pipe'] });
  const writerEnding = endingOf(writer, dump.program, new SaidLines(onDumpLine));
  // The writer has one of its own; with ours the reader would never see the end.
  reader.stdin.destroy();
  const end = (): void => {
    writer.kill('SIGTERM');
    reader.kill('SIGTERM');
  };
  signal.addEventListener('abort', end);
  try {
    readerEnding.then(
      ({ exitStatus }) => void (exitStatus !== 0 && writer.kill('SIGTERM')),
      () => writer.kill('SIGTERM'),
    );
    const [wrote, read] = await Promise.allSettled([writerEnding, readerEnding]);
    signal.throwIfAborted();
    if (wrote.status === 'rejected') throw wrote.reason;
    if (read.status === 'rejected') throw read.reason;
    return { dump: wrote.value, restore: read.value };
  } finally {
    signal.removeEventListener('abort', end);
  }
}
