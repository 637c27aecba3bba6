import { PgrecallError } from '../errors/pgrecall-error.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { chooseEntries, type ChosenEntries } from './choose-entries-plan.ts';
import { qualifiedTag, type LoadEntry } from './load-entry.ts';
import type { LoadTarget, LoadTargetRequest } from './load-target.ts';
import { findNamedEntries } from './name-entries.ts';
import { findAtTarget } from './target-objects.ts';

/**
 * What `--only` names, with all that belongs to it, and what it needs and the target lacks. Throws `object-unknown`, and
 * `objects-lacking` where it cannot be made without relations that nobody has named.
 */
export async function selectEntries(
  only: readonly string[],
  entries: readonly LoadEntry[],
  target: LoadTarget,
  request: LoadTargetRequest,
): Promise<ChosenEntries> {
  const isNamed = findNamedEntries(only, entries);
  const there = target.missing || !request.force ? new Set<number>() : await readTarget(entries, request);
  const chosen = chooseEntries(entries, isNamed, ({ dumpId }) => there.has(dumpId));
  const [first] = chosen.lacking;
  if (!first) return chosen;
  const names = [...new Set(chosen.lacking.map(({ relation }) => qualifiedTag(relation)))];
  throw new PgrecallError(
    'objects-lacking',
    `"${qualifiedTag(first.for)}" cannot be made without "${qualifiedTag(first.relation)}", which is neither named nor at the target`,
    { hint: `add ${names.map((name) => `--only '${name}'`).join(' ')}`, details: { lacking: names } },
  );
}

async function readTarget(
  entries: readonly LoadEntry[],
  { connection, database, signal }: LoadTargetRequest,
): Promise<ReadonlySet<number>> {
  await using session = await SqlSession.connect(connection, { applicationName: 'pgrecall load', database, signal });
  return await findAtTarget(session, entries);
}
