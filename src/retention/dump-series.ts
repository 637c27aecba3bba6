import type { Dated } from './keep-rules.ts';

/*
 * Dumps that hold the same follow each other; those of another database, or of some of its tables only, are no replacement for
 * them. So rules count each series for itself.
 */

/** Dumps by what they hold, each in the order given. */
export function seriesOfDumps(dumps: readonly Dated[]): readonly (readonly Dated[])[] {
  const series = new Map<string, Dated[]>();
  for (const dump of dumps) {
    const key = heldBy(dump);
    const known = series.get(key);
    if (known) known.push(dump);
    else series.set(key, [dump]);
  }
  return [...series.values()];
}

/**
 * Databases count by their names: one that was made anew is what its application calls so. The format does not count, what was
 * imported does: it may be of another server.
 */
function heldBy({ backup: { dump } }: Dated): string {
  if (!dump) return '';
  const { databases, globals, content, tables, schemas, options, imported } = dump;
  const names = databases.map(({ name }) => name).toSorted();
  const [onlyTables, onlySchemas] = [tables ?? [], schemas ?? []].map((patterns) => patterns.toSorted());
  return JSON.stringify([names, globals, content, onlyTables, onlySchemas, options ?? [], imported !== undefined]);
}
