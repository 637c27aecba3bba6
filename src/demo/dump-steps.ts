import { writeFileSync } from 'node:fs';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { readDatabaseSchema } from './database-schema.ts';
import { readDatabaseState, type DatabaseState } from './database-state.ts';
import { connect, type Practice } from './practice.ts';
import { check, type Check } from './proof.ts';
import { table } from './text-layout.ts';
import { connectionTo, names } from './workplace.ts';

/* The steps that the practices with dumps have in common. */

export async function setUpRepository(practice: Practice): Promise<void> {
  const { story, shell, workplace } = practice;
  await story.step(
    'A repository',
    'Dumps are kept in it beside physical backups: listed, verified and expired like them. A dump needs nothing of the ' +
      'server but a connection, so what init says of archiving can wait.',
    async () => {
      const own = [`state_directory = "${names.state}"`];
      writeFileSync(workplace.configFile, `${own.join('\n')}\n`);
      story.typed(`cat > ${names.configFile}`, own);
      const connection = connectionTo(workplace, 'postgres');
      await shell.pgrecall('init', names.cluster, '--connection', connection, '--repository', names.repository);
    },
  );
}

/** New databases for what is loaded. */
export async function makeDatabases(practice: Practice, databases: readonly string[]): Promise<void> {
  await using server = await connect(practice, 'postgres');
  for (const database of databases) {
    practice.signal.throwIfAborted();
    const statement = `CREATE DATABASE ${database} TEMPLATE template0;`;
    await practice.story.sql(
      'postgres',
      statement,
      async () => server.query(statement),
      () => ['CREATE DATABASE'],
    );
  }
}

/** The identifier of the dump. */
export async function dump(practice: Practice, ...options: readonly string[]): Promise<string> {
  const { output } = await practice.shell.pgrecall('dump', names.cluster, '--database', names.database, ...options);
  const id = /\b\d{8}T\d{6}Z-dump\S*?\b/.exec(output.join('\n'))?.[0];
  if (id === undefined) throw new PgrecallError('demo-failed', `${practice.story.currentStep}: dump named no dump`);
  return id;
}

export async function load(
  practice: Practice,
  id: string,
  database: string,
  ...options: readonly string[]
): Promise<void> {
  await practice.shell.pgrecall('load', names.cluster, id, '--database', database, ...options);
}

/** Everything that is in the databases against what is in the one that was dumped. */
export async function compareDatabases(practice: Practice, databases: readonly string[]): Promise<Check[]> {
  const { story } = practice;
  const checks: Check[] = [];
  await story.step(
    'Row by row',
    'Of each table: how many rows the original has, and a hash over all of them here and there. Then what is not rows: ' +
      'columns, keys, indexes, views, functions, triggers, and where the sequences stand.',
    async () => {
      const original = await readDatabase(practice, names.database);
      const copies: Content[] = [];
      for (const database of databases) copies.push(await readDatabase(practice, database));
      const tables = Object.keys(original.state.tables);
      story.lines(
        table([
          ['table', 'rows', ...databases],
          ...tables.map((name) => [
            name,
            String(original.state.tables[name]?.rows),
            ...copies.map(({ state }) => sayTable(original.state, state, name)),
          ]),
        ]),
      );
      for (const copy of copies) checks.push(...compareContents(original, copy));
    },
  );
  return checks;
}

interface Content {
  readonly database: string;
  readonly state: DatabaseState;
  readonly schema: ReadonlyMap<string, readonly string[]>;
}

async function readDatabase(practice: Practice, database: string): Promise<Content> {
  practice.signal.throwIfAborted();
  await using session = await connect(practice, database);
  return { database, state: await readDatabaseState(session), schema: await readDatabaseSchema(session) };
}

/** What differs has a check of its own, beside how many are the same. */
function compareContents(original: Content, copy: Content): Check[] {
  const tables = Object.keys(original.state.tables);
  const same = tables.filter((name) => original.state.tables[name]?.hash === copy.state.tables[name]?.hash);
  return [
    check(`${copy.database}: tables equal in every row`, tables.length, same.length),
    ...tables
      .filter((name) => !same.includes(name))
      .map((name) =>
        check(
          `${copy.database}: ${name}`,
          sayRows(original.state, name),
          `${sayRows(copy.state, name)}, other content`,
        ),
      ),
    ...[...original.schema].map(([kind, objects]) =>
      check(`${copy.database}: ${kind} equal`, objects.length, countOfSame(objects, copy.schema.get(kind) ?? [])),
    ),
    check(
      `${copy.database}: anything that the original has not`,
      0,
      [...copy.schema].reduce((sum, [kind, found]) => {
        const known = original.schema.get(kind) ?? [];
        return sum + found.length - countOfSame(found, known);
      }, 0),
    ),
  ];
}

function countOfSame(objects: readonly string[], among: readonly string[]): number {
  const there = new Set(among);
  return objects.filter((object) => there.has(object)).length;
}

function sayTable(original: DatabaseState, copy: DatabaseState, name: string): string {
  if (original.tables[name]?.hash === copy.tables[name]?.hash) return 'the same';
  return `OTHERS: ${sayRows(copy, name)}`;
}

function sayRows(state: DatabaseState, name: string): string {
  const rows = state.tables[name]?.rows;
  return rows === undefined ? 'no table' : `${rows} rows`;
}
