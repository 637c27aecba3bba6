import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpFacts, DumpedDatabase } from '../repository/dump-facts.ts';
import { findGrantedRoles, namingRoles } from './granted-roles.ts';
import { listContents } from './list-contents.ts';
import { isLargeObject, isSetting, type LoadEntry } from './load-entry.ts';
import type { TocHeader } from './toc-header.ts';

/** What a dump has of one database, as far as it decides how it is loaded. */
export interface TableOfContents {
  readonly header: TocHeader;
  /** In their order, without settings and large objects; none where they were not to be held. */
  readonly entries: readonly LoadEntry[];
  /** Of these. */
  readonly count: number;
  /** All that own something, or have something granted. */
  readonly roles: ReadonlySet<string>;
  /** Entries of large objects, which are not held: before 17 each is several. */
  readonly largeObjectEntries: number;
  /** Of theirs. */
  readonly largeObjectOwners: ReadonlySet<string>;
  /** The `CREATE DATABASE`, where pg_dump has kept it: encoding, locale and provider of the one that was dumped. */
  readonly createDatabase: string | undefined;
}

/** Throws `dump-contents`, `object-missing` and what the storage throws. The dump is no plain one. */
export async function readTableOfContents(
  cluster: ClusterRepository,
  asked: {
    readonly id: string;
    readonly dump: DumpFacts;
    readonly source: DumpedDatabase;
    /** Whether the entries themselves are wanted: a hundred thousand tables are a million of them. */
    readonly hold: boolean;
    readonly signal: AbortSignal;
  },
): Promise<TableOfContents> {
  const { id, dump, source, hold, signal } = asked;
  let header: TocHeader | undefined;
  const entries: LoadEntry[] = [];
  const largeObjectOwners = new Set<string>();
  const roles = new Set<string>();
  let count = 0;
  let largeObjectEntries = 0;
  let createDatabase: string | undefined;
  await listContents(
    cluster,
    { id, dump: { ...dump, databases: [source] }, signal },
    {
      onArchive: (contents) => void (header = contents.header),
      onEntry: (entry) => {
        if (entry.kind === 'DATABASE') createDatabase = entry.definition;
        if (isSetting(entry)) return;
        if (entry.owner !== undefined) roles.add(entry.owner);
        if (isLargeObject(entry)) {
          largeObjectEntries += 1;
          if (entry.owner !== undefined) largeObjectOwners.add(entry.owner);
          return;
        }
        count += 1;
        const { definition, dropStatement: _drop, copyStatement: _copy, ...kept } = entry;
        const grantees = namingRoles.has(entry.kind) ? granteesOf(definition) : [];
        for (const name of grantees) roles.add(name);
        if (hold) entries.push({ ...kept, grantees });
      },
    },
  );
  if (!header) throw new PgrecallError('dump-contents', `the dump ${id} has no table of contents`);
  return { header, entries, count, roles, largeObjectEntries, largeObjectOwners, createDatabase };
}

function granteesOf(definition: string | undefined): readonly string[] {
  return [...new Set([...findGrantedRoles(definition ?? '')].map(({ name }) => name))];
}
