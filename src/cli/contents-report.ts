import { listContents, type DatabaseContents, type ListedEntry } from '../logical/list-contents.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { CliContext } from './context.ts';
import { oneLine } from './dump-report.ts';
import { formatBytes, formatTable } from './format.ts';

/**
 * The record of a dump, and what its archives contain. They are read twice for `--json`: whatever is wrong with them is said
 * before the document begins, and millions of entries are never held.
 */
export async function showContents(
  cluster: ClusterRepository,
  record: BackupRecord,
  context: CliContext,
  about: [string, string][],
): Promise<void> {
  const { id, dump } = record;
  if (!dump) return;
  const asked = { id, dump, signal: context.signal };
  const outlines: Outline[] = [];
  await listContents(cluster, asked, {
    onArchive: (contents) => void outlines.push({ contents, counts: new Map(), schemas: [], tables: new Map() }),
    onEntry: (entry) => outlineEntry(outlines.at(-1), entry),
  });
  if (!context.json) {
    context.stdout(formatTable(about));
    for (const outline of outlines) context.stdout(`\n${formatTable(describeOutline(outline))}`);
    return;
  }
  context.stdout(`${JSON.stringify(record, undefined, 2).slice(0, -2)},\n  "contents": [`);
  let archives = 0;
  let entries = 0;
  await listContents(cluster, asked, {
    onArchive: ({ database, header }) => {
      const { entries: _count, ...told } = header;
      const words = JSON.stringify({ oid: database.oid, name: database.name, ...told });
      context.stdout(`${archives === 0 ? '  ' : ']}, '}${words.slice(0, -1)}, "entries": [`);
      archives += 1;
      entries = 0;
    },
    onEntry: ({ definition: _definition, dropStatement: _drop, copyStatement: _copy, ...told }) => {
      context.stdout(`${entries === 0 ? '    ' : '  , '}${JSON.stringify(told)}`);
      entries += 1;
    },
  });
  context.stdout(archives === 0 ? '] }' : ']}] }');
}

interface Outline {
  readonly contents: DatabaseContents;
  /** By what pg_dump calls them. */
  readonly counts: Map<string, number>;
  readonly schemas: string[];
  /** The bytes of their rows, by their names; undefined where not known. */
  readonly tables: Map<string, number | undefined>;
}

function outlineEntry(outline: Outline | undefined, entry: ListedEntry): void {
  if (!outline) return;
  const { counts, schemas, tables } = outline;
  counts.set(entry.kind, (counts.get(entry.kind) ?? 0) + 1);
  if (entry.kind === 'SCHEMA') schemas.push(entry.tag);
  if (!['TABLE', 'FOREIGN TABLE', 'TABLE DATA'].includes(entry.kind)) return;
  const name = entry.schema === undefined ? entry.tag : `${entry.schema}.${entry.tag}`;
  tables.set(name, entry.dataBytes ?? tables.get(name));
}

/** Parts of others, or said elsewhere. */
const uncounted = new Set(['ENCODING', 'STDSTRINGS', 'SEARCHPATH', 'DATABASE', 'TABLE DATA', 'SEQUENCE SET']);

function describeOutline({ contents, counts, schemas, tables }: Outline): [string, string][] {
  const { database, header } = contents;
  const counted = [...counts].filter(([kind]) => !uncounted.has(kind)).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    ['contents of', `${oneLine(database.name)}, ${header.entries} entries`],
    ['objects', counted.map(([kind, count]) => `${count} ${kind.toLowerCase()}`).join(', ') || 'none'],
    ...schemas.map((schema): [string, string] => ['schema', oneLine(schema)]),
    ...[...tables]
      .toSorted(([a, aBytes = 0], [b, bBytes = 0]) => bBytes - aBytes || (a < b ? -1 : 1))
      .map(([table, bytes]): [string, string] => [
        'table',
        bytes === undefined ? oneLine(table) : `${oneLine(table)}  ${formatBytes(bytes)}`,
      ]),
  ];
}
