import { createInterface } from 'node:readline/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/** Asks a question on the terminal; the answer without spaces around, or the suggestion where that is empty. */
export async function askOnTerminal(
  question: string,
  suggestion: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  // Questions are no answer to the command: they go to stderr.
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const interrupted = new AbortController();
  terminal.once('SIGINT', () => interrupted.abort());
  terminal.once('close', () => interrupted.abort());
  try {
    const shown = suggestion === undefined || suggestion === '' ? '' : ` [${suggestion}]`;
    const answer = await terminal.question(`${question}${shown}: `, {
      signal: AbortSignal.any([signal, interrupted.signal]),
    });
    return answer.trim() === '' ? (suggestion ?? '') : answer.trim();
  } catch {
    throw new PgrecallError('cancelled', 'the question was not answered');
  } finally {
    terminal.close();
  }
}
