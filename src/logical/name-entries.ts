import { nearest } from '../config/nearest.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { qualifiedTag, relationKinds, type LoadEntry } from './load-entry.ts';

/*
 * What `--only` names: a table or another relation (`film`, `public.film`) or a schema (`public`, `public.*`). Names are taken as
 * they are, in lower or upper case; in double quotes as SQL has them, where dots or quotes are part of one.
 */

interface Wanted {
  readonly word: string;
  readonly schema: string | undefined;
  /** Undefined for the whole schema. */
  readonly relation: string | undefined;
}

const dataKinds = new Set(['TABLE DATA', 'MATERIALIZED VIEW DATA', 'SEQUENCE SET']);

/** Whether an entry is named. Throws `object-unknown` for a word that names nothing, or more than one thing. */
export function findNamedEntries(
  words: readonly string[],
  entries: readonly LoadEntry[],
): (entry: LoadEntry) => boolean {
  const relations = new Map<string, { readonly schema: string | undefined; readonly tag: string }>();
  const schemas = new Set<string>();
  for (const { kind, schema, tag } of entries) {
    if (kind === 'SCHEMA') schemas.add(tag);
    if (schema !== undefined) schemas.add(schema);
    if (relationKinds.has(kind) || dataKinds.has(kind)) relations.set(JSON.stringify([schema, tag]), { schema, tag });
  }
  const found = words.map((word) => find(word, [...relations.values()], schemas));
  const wholeSchemas = new Set(
    found.flatMap(({ schema, relation }) => (relation === undefined && schema !== undefined ? [schema] : [])),
  );
  const single = new Set(
    found.flatMap(({ schema, relation }) => (relation === undefined ? [] : [JSON.stringify([schema, relation])])),
  );
  return ({ kind, schema, tag }) =>
    (schema !== undefined && wholeSchemas.has(schema)) ||
    (kind === 'SCHEMA' && wholeSchemas.has(tag)) ||
    ((relationKinds.has(kind) || dataKinds.has(kind)) && single.has(JSON.stringify([schema, tag])));
}

function find(
  word: string,
  relations: readonly { readonly schema: string | undefined; readonly tag: string }[],
  schemas: ReadonlySet<string>,
): Wanted {
  const quoted = parseQuoted(word);
  const matches: Wanted[] = [
    ...relations
      .filter(({ schema, tag }) =>
        quoted
          ? quoted.at(-1) === tag && (quoted.length === 1 || quoted[0] === schema)
          : word === tag || word === qualifiedTag({ schema, tag }),
      )
      .map(({ schema, tag }) => ({ word, schema, relation: tag })),
    ...[...schemas]
      .filter((schema) =>
        quoted ? quoted.length === 1 && quoted[0] === schema : word === schema || word === `${schema}.*`,
      )
      .map((schema) => ({ word, schema, relation: undefined })),
  ];
  const [only] = matches;
  if (only && matches.length === 1) return only;
  if (only) {
    const names = matches.map(({ schema = '', relation = '*' }) => `${schema}.${relation}`).toSorted();
    throw new PgrecallError('object-unknown', `--only "${word}" can be ${names.join(' or ')}`, {
      hint: 'say which',
      details: { name: word, candidates: names },
    });
  }
  const known = [...schemas, ...relations.flatMap(({ schema, tag }) => [tag, qualifiedTag({ schema, tag })])];
  const near = nearest(word, [...new Set(known)]);
  throw new PgrecallError('object-unknown', `the dump has no table or schema "${word}"`, {
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
    details: { name: word, nearest: near ?? null },
  });
}

/** `"a ""b""".c` → its parts; undefined where it has no quoted part. */
function parseQuoted(word: string): string[] | undefined {
  const part = /"(?:[^"]|"")+"|[^".]+/y;
  const parts: string[] = [];
  if (!word.includes('"')) return undefined;
  for (let at = 0; at < word.length;) {
    part.lastIndex = at;
    const text = part.exec(word)?.[0];
    if (text === undefined) return undefined;
    parts.push(text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text);
    at += text.length;
    if (at < word.length && word[at] !== '.') return undefined;
    if (at < word.length) at += 1;
  }
  return parts.length <= 2 ? parts : undefined;
}
