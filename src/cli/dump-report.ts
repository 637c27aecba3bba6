import type { DumpFacts } from '../repository/dump-facts.ts';

/** So many databases are named in one line. */
const named = 5;

/** `custom dump of shop, blog and the globals`. */
export function describeDump(dump: DumpFacts): string {
  const { format, databases, globals, content, tables, schemas } = dump;
  const names = databases.slice(0, named).map(({ name }) => oneLine(name));
  const more = databases.length > named ? [`${databases.length - named} more`] : [];
  const what = [...names, ...more, ...(globals ? ['the globals'] : [])];
  const only = [
    ...(content === 'schema' ? ['definitions only'] : content === 'data' ? ['rows only'] : []),
    ...(tables || schemas ? [`only ${[...(schemas ?? []), ...(tables ?? [])].map(oneLine).join(', ')}`] : []),
  ];
  return `${databases.length === 0 ? 'dump' : `${format} dump`} of ${joined(what)}${only.length === 0 ? '' : ` (${only.join('; ')})`}`;
}

/** What stands about it in a table of its own. */
export function dumpRows(dump: DumpFacts): [string, string][] {
  return [
    ['format', dump.format],
    ...dump.databases.map(({ name, oid, encoding }): [string, string] => [
      'database',
      `${oneLine(name)} (${oid}, ${encoding})`,
    ]),
    ['globals', dump.globals ? 'yes' : 'no'],
    ['parts', { all: 'definitions and rows', schema: 'definitions only', data: 'rows only' }[dump.content]],
    ...(dump.schemas ?? []).map((schema): [string, string] => ['schema', oneLine(schema)]),
    ...(dump.tables ?? []).map((table): [string, string] => ['table', oneLine(table)]),
    ...(dump.options ? [['options', dump.options.map(oneLine).join(' ')] as [string, string]] : []),
    ['dumped by', `pg_dump ${dump.dumpVersion || '?'} from PostgreSQL ${dump.serverVersion || '?'}`],
    ...(dump.imported ? [['imported', describeImported(dump.imported)] as [string, string]] : []),
  ];
}

function describeImported({ file, dumpedAt }: NonNullable<DumpFacts['imported']>): string {
  return `from ${oneLine(file)}${dumpedAt === undefined ? '' : `, made at ${dumpedAt} on its own clock`}`;
}

/** A name that would break the line, or move the cursor, as JSON writes it. */
export function oneLine(name: string): string {
  // eslint-disable-next-line no-control-regex
  return /[\u0000-\u001F\u007F-\u009F\u2028\u2029]/.test(name) ? JSON.stringify(name) : name;
}

function joined(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join('');
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}
