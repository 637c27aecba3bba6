import { SqlSession } from '../connection/sql-session.ts';
import type { Shell } from './shell.ts';
import type { Story } from './story.ts';
import { connectionTo, names, type Workplace } from './workplace.ts';

/** What every step of the practice works with. */
export interface Practice {
  readonly workplace: Workplace;
  readonly story: Story;
  readonly shell: Shell;
  readonly signal: AbortSignal;
}

/** Runs one statement in the DVD rental database and shows it, with what `answer` makes of the rows. */
export async function ask<T extends object>(
  practice: Practice,
  statement: string,
  answer: (rows: readonly T[]) => readonly string[],
): Promise<readonly T[]> {
  practice.signal.throwIfAborted();
  await using session = await connect(practice);
  const run = async (): Promise<T[]> => session.query<T>(statement);
  // Awaited before it is returned: the session ends with this function.
  return await practice.story.sql(names.database, statement, run, answer);
}

export async function connect(practice: Practice, database: string = names.database): Promise<SqlSession> {
  return SqlSession.connect(connectionTo(practice.workplace, database), { applicationName: 'pgrecall demo' });
}
