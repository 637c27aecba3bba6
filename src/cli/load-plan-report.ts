import { describeDatabaseLocale } from '../logical/database-locale.ts';
import type { GlobalsPlan } from '../logical/globals-plan.ts';
import { qualifiedTag, type LoadEntry } from '../logical/load-entry.ts';
import { countKinds, findObstacles, type LoadFinding, type PlannedLoad } from '../logical/load-plan.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { CliContext } from './context.ts';
import { oneLine } from './dump-report.ts';
import { formatBytes, formatTable } from './format.ts';

const marks: Readonly<Record<LoadFinding['weight'], string>> = {
  refused: 'REFUSED',
  fails: 'WOULD FAIL',
  differs: 'differs',
};

/** `load --plan`: what would be made, and what is in the way. */
export function showLoadPlan(record: BackupRecord, plan: PlannedLoad, context: CliContext): void {
  const findings = findObstacles(plan);
  if (context.json) {
    context.stdout(JSON.stringify(toJson(record, plan, findings), undefined, 2));
    return;
  }
  context.stdout(formatTable(describePlan(record, plan)));
  context.stdout(
    findings.length === 0
      ? '\nnothing is in the way; nothing was touched'
      : `\n${findings.flatMap(describeFinding).join('\n')}\n\nnothing was touched`,
  );
}

/** They come and go with others that are counted. */
const parts = new Set(['TABLE DATA', 'SEQUENCE SET', 'SEQUENCE OWNED BY', 'MATERIALIZED VIEW DATA']);

function describePlan(record: BackupRecord, plan: PlannedLoad): [string, string][] {
  const { source, target, sourceLocale, entries, chosen } = plan;
  const counts =
    entries &&
    [...countKinds(entries)]
      .filter(([kind]) => !parts.has(kind))
      .map(([kind, count]) => `${count} ${kind.toLowerCase()}`);
  const bytes = sizeOf(entries);
  return [
    ['load', `${oneLine(source.name)} of ${record.id}`],
    ['into', `${oneLine(target.database)}, ${sayState(plan)}; PostgreSQL ${target.major}, as ${oneLine(target.user)}`],
    ['dumped as', `${source.encoding}, ${describeDatabaseLocale(sourceLocale)}`],
    ...(plan.globals ? describeGlobals(plan.globals, true) : []).map((line): [string, string] => ['globals', line]),
    ['objects', counts ? counts.join(', ') || 'none' : 'a script does not tell'],
    ...(plan.largeObjectEntries > 0
      ? [['large objects', `${plan.largeObjectEntries} entries`] as [string, string]]
      : []),
    ...(bytes === undefined ? [] : [['rows', formatBytes(bytes)] as [string, string]]),
    ...(chosen?.needed ?? []).map((entry): [string, string] => ['needed', nameOf(entry)]),
    ...(chosen?.leftOut ?? []).map((entry): [string, string] => [
      'left out',
      `${nameOf(entry)}: what it refers to is not loaded`,
    ]),
  ];
}

/** `made the roles a, b`; nothing where there is none. */
export function describeGlobals({ roles, tablespaces }: GlobalsPlan, isPlan: boolean): string[] {
  const [make, keep] = isPlan ? ['make', 'leave'] : ['made', 'left'];
  const say = (verb: string, what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${verb} the ${what} ${names.map(oneLine).join(', ')}`];
  return [
    ...say(make, 'roles', roles.made),
    ...say(make, 'tablespaces', tablespaces.made),
    ...say(`${keep} as they are`, 'roles', roles.kept),
    ...say(`${keep} as they are`, 'tablespaces', tablespaces.kept),
  ];
}

/** What came of the globals, or will, where nothing else is loaded. */
export function showGlobals(record: BackupRecord, globals: GlobalsPlan, isPlan: boolean, context: CliContext): void {
  const { roles, tablespaces } = globals;
  if (context.json) {
    context.stdout(JSON.stringify({ dump: record.id, plan: isPlan, globals: { roles, tablespaces } }, undefined, 2));
    return;
  }
  const lines = describeGlobals(globals, isPlan);
  context.stdout([`globals of ${record.id}:`, ...(lines.length === 0 ? ['nothing'] : lines)].join('\n  '));
}

function sayState({ target, create }: PlannedLoad): string {
  if (target.missing) return create ? 'which is made' : 'which is not there';
  const { ENCODING: encoding = '' } = target.locale;
  return `${target.empty ? 'empty' : 'not empty'}, ${encoding}, ${describeDatabaseLocale(target.locale)}`;
}

function describeFinding({ weight, what, remedy }: LoadFinding): string[] {
  return [`${marks[weight]}: ${what}`, `  ${remedy}`];
}

function nameOf(entry: LoadEntry): string {
  return `${entry.kind.toLowerCase()} ${oneLine(qualifiedTag(entry))}`;
}

/** As text, where the archive tells. */
function sizeOf(entries: readonly LoadEntry[] | undefined): number | undefined {
  const sizes = (entries ?? []).flatMap(({ dataBytes }) => dataBytes ?? []);
  return sizes.length === 0 ? undefined : sizes.reduce((sum, bytes) => sum + bytes, 0);
}

function toJson(record: BackupRecord, plan: PlannedLoad, findings: readonly LoadFinding[]): object {
  const { source, sourceLocale, target, entries, chosen, lacks, there, create, globals } = plan;
  const named = (found: readonly LoadEntry[]): object[] =>
    found.map(({ kind, schema, tag }) => ({ kind, schema, tag }));
  return {
    dump: record.id,
    source: { name: source.name, locale: sourceLocale },
    target: {
      ...{ database: target.database, user: target.user, postgresMajor: target.major, locale: target.locale },
      ...{ exists: !target.missing, created: target.missing && create, empty: target.empty },
    },
    objects: entries ? Object.fromEntries(countKinds(entries)) : null,
    largeObjectEntries: plan.largeObjectEntries,
    dataBytes: sizeOf(entries) ?? null,
    needed: named(chosen?.needed ?? []),
    leftOut: named(chosen?.leftOut ?? []),
    globals: globals ? { roles: globals.roles, tablespaces: globals.tablespaces } : null,
    lacking: lacks ?? null,
    alreadyThere: named(there),
    findings,
  };
}
