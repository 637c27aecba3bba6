/*
 * The words of SQL as pg_dump and pg_dumpall write it: enough of its syntax to tell names from what stands in quotes beside
 * them (https://www.postgresql.org/docs/18/sql-syntax-lexical.html). Key words are in upper case, names that need no quotes in
 * lower case.
 */

export interface SqlWord {
  /** `comment` is one of `--`, or what psql does not send. */
  readonly kind: 'word' | 'quoted' | 'string' | 'symbol' | 'comment';
  /** As it stands there, quotes and all. */
  readonly text: string;
  readonly start: number;
}

const pattern = new RegExp(
  [
    // And lines that are for psql: \restrict, \connect.
    String.raw`(?<comment>--[^\n]*|(?<=^|\n)\\[a-z]+[^\n]*)`,
    String.raw`(?<quoted>"(?:[^"]|"")*")`,
    // Of E'…' the backslash, too, can stand before a quote.
    String.raw`(?<string>[eE]'(?:[^'\\]|''|\\[^])*'|'(?:[^']|'')*'|\$(?<tag>\w*)\$[^]*?\$\k<tag>\$)`,
    String.raw`(?<word>[\w$\u0080-\u{10FFFF}]+)`,
    String.raw`(?<symbol>\S)`,
  ].join('|'),
  'gu',
);

export function* sqlWords(sql: string): Generator<SqlWord> {
  for (const match of sql.matchAll(pattern)) {
    const kind = (['comment', 'quoted', 'string', 'word', 'symbol'] as const).find(
      (name) => match.groups?.[name] !== undefined,
    );
    if (kind) yield { kind, text: match[0], start: match.index };
  }
}

/** The name that a word is, without its quotes; undefined where it is none. */
export function nameOf(word: SqlWord | undefined): string | undefined {
  if (word?.kind === 'quoted') return word.text.slice(1, -1).replaceAll('""', '"');
  return word?.kind === 'word' ? word.text : undefined;
}

/** As pg_dump would, or with quotes where it would do without. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
