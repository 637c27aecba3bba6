import { nameOf, sqlWords, type SqlWord } from './sql-words.ts';

/*
 * What of `pg_dumpall --globals-only` is carried out on a server that has roles and tablespaces of its own: those that it lacks are
 * made as they were; those that it has stay as they are, with their attributes, passwords and memberships.
 */

export interface GlobalStatement {
  /** Without what could be a password: `ALTER ROLE "clerk"`. */
  readonly about: string;
  readonly sql: string;
}

export interface GlobalsPlan {
  /** In their order; all of them or none. */
  readonly statements: readonly GlobalStatement[];
  /** Cannot be undone, each on its own, after the others. */
  readonly tablespaceStatements: readonly GlobalStatement[];
  readonly roles: { readonly made: readonly string[]; readonly kept: readonly string[] };
  readonly tablespaces: { readonly made: readonly string[]; readonly kept: readonly string[] };
}

/** What the server has. */
export interface ServerGlobals {
  readonly roles: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
  readonly databases: ReadonlySet<string>;
}

export function planGlobals(script: string, there: ServerGlobals): GlobalsPlan {
  const statements: GlobalStatement[] = [];
  const tablespaceStatements: GlobalStatement[] = [];
  const roles = { made: [] as string[], kept: [] as string[] };
  const tablespaces = { made: [] as string[], kept: [] as string[] };
  for (const { sql, words } of splitStatements(script)) {
    const subject = subjectOf(words);
    const about = words
      .slice(0, subject.words)
      .map(({ text }) => text)
      .join(' ');
    const statement = { about, sql };
    if (subject.kind === 'setting') {
      statements.push(statement);
    } else if (subject.kind === 'role') {
      const known = there.roles.has(subject.name);
      if (subject.creates) (known ? roles.kept : roles.made).push(subject.name);
      const elsewhere = subject.database !== undefined && !there.databases.has(subject.database);
      if (!known && !elsewhere) statements.push(statement);
    } else if (subject.kind === 'membership') {
      if (!there.roles.has(subject.member) || !there.roles.has(subject.group)) statements.push(statement);
    } else {
      const known = there.tablespaces.has(subject.name);
      if (subject.creates) (known ? tablespaces.kept : tablespaces.made).push(subject.name);
      if (!known) tablespaceStatements.push(statement);
    }
  }
  return { statements, tablespaceStatements, roles, tablespaces };
}

type Subject = { /** That say what it is about. */ readonly words: number } & (
  | { readonly kind: 'setting' }
  | { readonly kind: 'role'; readonly name: string; readonly creates: boolean; readonly database: string | undefined }
  | { readonly kind: 'membership'; readonly group: string; readonly member: string }
  | { readonly kind: 'tablespace'; readonly name: string; readonly creates: boolean }
);

function subjectOf(words: readonly SqlWord[]): Subject {
  const at = (index: number): string => (words[index]?.kind === 'word' ? words[index].text : '');
  const name = (index: number): string => nameOf(words[index]) ?? '';
  const creates = at(0) === 'CREATE';
  if (creates || at(0) === 'ALTER') {
    if (at(1) === 'TABLESPACE') return { kind: 'tablespace', name: name(2), creates, words: 3 };
    const database = at(3) === 'IN' ? name(5) : undefined;
    if (at(1) === 'ROLE') return { kind: 'role', name: name(2), creates, database, words: 3 };
  }
  const on = words.findIndex(({ kind, text }) => kind === 'word' && text === 'ON');
  if (on > 0) {
    const [kind, what] = [at(on + 1), name(on + 2)];
    if (kind === 'ROLE') return { kind: 'role', name: what, creates: false, database: undefined, words: on + 3 };
    if (kind === 'TABLESPACE') return { kind: 'tablespace', name: what, creates: false, words: on + 3 };
    // Of a parameter: GRANT SET ON PARAMETER work_mem TO clerk.
    const to = words.findIndex(({ kind: of, text }, index) => index > on && of === 'word' && text === 'TO');
    if (to > 0) return { kind: 'role', name: name(to + 1), creates: false, database: undefined, words: to + 2 };
  }
  if (at(0) === 'GRANT' && at(2) === 'TO') return { kind: 'membership', group: name(1), member: name(3), words: 4 };
  return { kind: 'setting', words: Math.min(words.length, 2) };
}

/** Without comments between them. */
function* splitStatements(script: string): Generator<{ readonly sql: string; readonly words: readonly SqlWord[] }> {
  let words: SqlWord[] = [];
  for (const word of sqlWords(script)) {
    if (word.kind === 'comment') continue;
    if (word.text !== ';') {
      words.push(word);
      continue;
    }
    const [first] = words;
    if (first) yield { sql: script.slice(first.start, word.start), words };
    words = [];
  }
}
