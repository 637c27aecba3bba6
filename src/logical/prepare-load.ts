import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpFacts, DumpedDatabase } from '../repository/dump-facts.ts';
import { parseDatabaseLocale, type DatabaseLocale } from './database-locale.ts';
import type { ChosenEntries } from './choose-entries-plan.ts';
import type { GlobalsPlan } from './globals-plan.ts';
import type { MappedRights } from './load-arguments.ts';
import type { LoadEntry } from './load-entry.ts';
import type { PlannedLoad } from './load-plan.ts';
import { connectBeside, connectTo, examineTarget, type LoadTarget, type LoadTargetRequest } from './load-target.ts';
import { checkRoleMap, mapEntryRoles, type RoleMap } from './map-roles.ts';
import { readTableOfContents, type TableOfContents } from './read-toc.ts';
import { selectEntries } from './select-entries.ts';
import { findLacking, type TargetLacks } from './target-lacks.ts';
import { findAtTarget } from './target-objects.ts';

/** What is known before anything is loaded. */
export interface PreparedLoad {
  readonly dump: DumpFacts;
  readonly source: DumpedDatabase;
  readonly request: LoadTargetRequest;
  readonly target: LoadTarget;
  /** Of a plain dump there is none. */
  readonly toc: TableOfContents | undefined;
  /** What `--only` has chosen. */
  readonly chosen: ChosenEntries | undefined;
  /** Of everything, for a plan, or of that. */
  readonly entries: readonly LoadEntry[] | undefined;
}

export interface PrepareLoad {
  readonly cluster: ClusterRepository;
  readonly record: BackupRecord;
  readonly dump: DumpFacts;
  readonly source: DumpedDatabase;
  readonly only: readonly string[];
  readonly map: RoleMap;
  /** Whether it is for a plan, which tells of every entry. */
  readonly forPlan: boolean;
  readonly request: Omit<LoadTargetRequest, 'locale'>;
}

/** Looks at dump and target, and changes nothing. Throws `connection`, `dump-contents`, `object-unknown`, `objects-lacking`. */
export async function prepareLoad(prepare: PrepareLoad): Promise<PreparedLoad> {
  const { cluster, record, dump, source, only, map, forPlan } = prepare;
  const hold = forPlan || only.length > 0;
  const { signal } = prepare.request;
  const isScript = dump.format === 'plain';
  const toc = isScript ? undefined : await readTableOfContents(cluster, { id: record.id, dump, source, hold, signal });
  if (toc) checkRoleMap(map, toc.roles);
  const request = { ...prepare.request, locale: localeOf(source, toc) };
  const target = await examineTarget(request);
  const chosen = toc && only.length > 0 ? await selectEntries(only, toc.entries, target, request) : undefined;
  const entries = chosen
    ? toc?.entries.filter(({ dumpId }) => chosen.ids.has(dumpId))
    : hold
      ? toc?.entries
      : undefined;
  return { dump, source, request, target, toc, chosen, entries };
}

/** A plain dump tells the encoding alone. */
function localeOf({ encoding }: DumpedDatabase, toc: TableOfContents | undefined): DatabaseLocale {
  return { ENCODING: encoding, ...parseDatabaseLocale(toc?.createDatabase ?? '') };
}

/** What the target has of it, and what it lacks. Changes nothing. */
export async function planLoad(
  prepared: PreparedLoad,
  rights: MappedRights,
  { globals, earlier }: Pick<PlannedLoad, 'globals' | 'earlier'>,
): Promise<PlannedLoad> {
  const { dump, source, request, target, chosen, entries } = prepared;
  const { create, force } = request;
  const lacks = without(await lookForNamed(prepared, rights), globals);
  const there = entries && !target.empty ? await findThere(entries, request) : [];
  const sourceLocale = request.locale;
  const largeObjectEntries = chosen ? 0 : (prepared.toc?.largeObjectEntries ?? 0);
  return {
    dump,
    source,
    sourceLocale,
    target,
    create,
    force,
    rights,
    entries,
    chosen,
    globals,
    lacks,
    there,
    largeObjectEntries,
    earlier,
  };
}

/** What the globals bring is not lacking. */
function without(lacks: TargetLacks | undefined, globals: GlobalsPlan | undefined): TargetLacks | undefined {
  if (!lacks || !globals) return lacks;
  const notMade = (made: readonly string[]) => (name: string) => !made.includes(name);
  return {
    ...lacks,
    owners: lacks.owners.filter(notMade(globals.roles.made)),
    grantees: lacks.grantees.filter(notMade(globals.roles.made)),
    tablespaces: lacks.tablespaces.filter(notMade(globals.tablespaces.made)),
  };
}

async function lookForNamed(
  { toc, chosen, entries: named, request }: PreparedLoad,
  rights: MappedRights,
): Promise<TargetLacks | undefined> {
  if (!toc || !named) return undefined;
  const entries = named.map((entry) => mapEntryRoles(entry, rights.map));
  const largeObjectOwners = chosen ? [] : [...toc.largeObjectOwners].map((name) => rights.map.get(name) ?? name);
  await using session = await connectBeside(request);
  return await findLacking(session, {
    owners: distinct([...entries.map(({ owner }) => owner), ...largeObjectOwners]),
    grantees: distinct(entries.flatMap(({ grantees }) => grantees)),
    extensions: distinct(entries.filter(({ kind }) => kind === 'EXTENSION').map(({ tag }) => tag)),
    tablespaces: distinct(entries.map(({ tablespace }) => tablespace)),
  });
}

async function findThere(entries: readonly LoadEntry[], request: LoadTargetRequest): Promise<readonly LoadEntry[]> {
  await using session = await connectTo(request);
  const ids = await findAtTarget(session, entries);
  return entries.filter(({ dumpId }) => ids.has(dumpId));
}

function distinct(names: readonly (string | undefined)[]): string[] {
  return [...new Set(names)].filter((name) => name !== undefined);
}
