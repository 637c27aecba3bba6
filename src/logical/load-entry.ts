import type { TocEntry } from './toc-entry.ts';

/*
 * What of an entry of a table of contents decides whether it is loaded, and how it is spoken of. Definitions are not held:
 * they may be large.
 */

export type LoadEntry = Pick<
  TocEntry,
  'dumpId' | 'kind' | 'schema' | 'tag' | 'owner' | 'tablespace' | 'dependencies' | 'file' | 'section' | 'hasData'
> & {
  /** Of its rows, where the archive tells. */
  readonly dataBytes: number | undefined;
  /** Roles that its definition names: of privileges and policies. */
  readonly grantees: readonly string[];
};

/** Relations of their own, in the words of pg_dump. */
export const relationKinds: ReadonlySet<string> = new Set([
  ...['TABLE', 'FOREIGN TABLE', 'VIEW', 'MATERIALIZED VIEW', 'SEQUENCE'],
]);

/** What pg_restore does of itself, or only where a database is made. */
const settings = new Set(['ENCODING', 'STDSTRINGS', 'SEARCHPATH', 'DATABASE', 'DATABASE PROPERTIES']);

/** Each large object is several entries before 17, and there may be millions. */
const largeObjects = new Set(['BLOB', 'BLOBS', 'BLOB METADATA', 'BLOB COMMENTS']);

export function isSetting({ kind }: Pick<LoadEntry, 'kind'>): boolean {
  return settings.has(kind);
}

export function isLargeObject({ kind, tag }: Pick<LoadEntry, 'kind' | 'tag'>): boolean {
  return (
    largeObjects.has(kind) || (['ACL', 'COMMENT', 'SECURITY LABEL'].includes(kind) && tag.startsWith('LARGE OBJECT'))
  );
}

/** `public.film`; what has no schema as it is. */
export function qualifiedTag({ schema, tag }: Pick<LoadEntry, 'schema' | 'tag'>): string {
  return schema === undefined ? tag : `${schema}.${tag}`;
}
