import type { DumpFacts, DumpedDatabase } from '../repository/dump-facts.ts';
import type { ChosenEntries } from './choose-entries-plan.ts';
import { describeDatabaseLocale, type DatabaseLocale } from './database-locale.ts';
import type { GlobalsPlan } from './globals-plan.ts';
import type { LoadRights } from './load-arguments.ts';
import { qualifiedTag, type LoadEntry } from './load-entry.ts';
import type { EarlierLoad } from './load-notes.ts';
import type { LoadTarget } from './load-target.ts';
import type { TargetLacks } from './target-lacks.ts';

/* What a load would come upon, in the words of the target: pure, so that `--plan` is what it says, and nothing else. */

/** `refused`: nothing would be done; `fails`: objects would fail; `differs`: done, and not the same as where it was dumped. */
export type FindingWeight = 'refused' | 'fails' | 'differs';

export interface LoadFinding {
  readonly weight: FindingWeight;
  readonly what: string;
  readonly remedy: string;
}

export interface PlannedLoad {
  readonly dump: DumpFacts;
  readonly source: DumpedDatabase;
  readonly sourceLocale: DatabaseLocale;
  readonly target: LoadTarget;
  readonly create: boolean;
  readonly force: boolean;
  readonly rights: LoadRights;
  /** Of what is wanted; undefined for a plain dump, which does not tell. */
  readonly entries: readonly LoadEntry[] | undefined;
  readonly chosen: ChosenEntries | undefined;
  /** Where roles and tablespaces are to be loaded, too. */
  readonly globals: GlobalsPlan | undefined;
  /** Of a plain dump nothing is known. */
  readonly lacks: TargetLacks | undefined;
  /** Those that the target has already. */
  readonly there: readonly LoadEntry[];
  /** Before 17 each large object is several entries; 0 where only a part is wanted. */
  readonly largeObjectEntries: number;
  /** Loads into the same database that have not ended well. */
  readonly earlier: readonly EarlierLoad[];
}

/** How many there are of each kind, in the words of pg_dump, in the order of its table of contents. */
export function countKinds(entries: readonly LoadEntry[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { kind } of entries) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

export function findObstacles(plan: PlannedLoad): LoadFinding[] {
  return [...refusals(plan), ...failures(plan), ...differences(plan)];
}

function refusals({ target, create, force, earlier }: PlannedLoad): LoadFinding[] {
  const name = `"${target.database}"`;
  return [
    ...earlier
      // It is loaded into all the same.
      .filter(({ isLoading }) => isLoading || !force)
      .map(({ note, isLoading }) =>
        isLoading
          ? refused(`a load of ${note.dump} into ${name} is going on`, 'wait for its end')
          : refused(
              `${name} is incomplete: a load of ${note.dump} began at ${note.startedAt}, and did not end well`,
              'drop it (DROP DATABASE), and load with --create',
            ),
      ),
    ...(target.missing && !create ? [refused(`there is no database ${name}`, '--create makes it')] : []),
    ...(target.inRecovery ? [refused('the server is a standby', 'load into its primary, or promote it first')] : []),
    ...(!target.empty && !force
      ? [
          refused(
            `the database ${name} is not empty`,
            'name another one, or say --force to load into this one all the same',
          ),
        ]
      : []),
  ];
}

function failures({ dump, target, rights, lacks, there }: PlannedLoad): LoadFinding[] {
  const dumped = Number.parseInt(dump.serverVersion, 10);
  const findings: LoadFinding[] = [];
  if (lacks) {
    const owners = rights.noOwner ? [] : lacks.owners;
    const grantees = rights.noPrivileges ? [] : lacks.grantees.filter((name) => !owners.includes(name));
    if (owners.length > 0) {
      findings.push(
        fails(
          `owners that are not there: ${list(owners)}`,
          `CREATE ROLE, load the globals of the dump (--globals), or say --no-owner`,
        ),
      );
    }
    if (grantees.length > 0) {
      findings.push(
        fails(
          `roles with privileges that are not there: ${list(grantees)}`,
          `CREATE ROLE, load the globals of the dump (--globals), or say --no-privileges`,
        ),
      );
    }
    if (!rights.noOwner && lacks.notMemberOf.length > 0) {
      const what = `"${target.user}" is no member of ${list(lacks.notMemberOf)}, and cannot give objects to them`;
      findings.push(fails(what, 'connect as a superuser or a member, or say --no-owner'));
    }
    if (lacks.extensions.length > 0) {
      findings.push(
        fails(
          `extensions that the server does not have: ${list(lacks.extensions)}`,
          'install them on the target’s host',
        ),
      );
    }
    if (lacks.tablespaces.length > 0) {
      findings.push(
        fails(
          `tablespaces that are not there: ${list(lacks.tablespaces)}`,
          'CREATE TABLESPACE, or say -- --no-tablespaces',
        ),
      );
    }
  }
  if (there.length > 0) {
    const some = there.slice(0, 5).map(qualifiedTag);
    findings.push(
      fails(
        `objects that are there already (${there.length}): ${list(some)}${there.length > some.length ? ' and others' : ''}`,
        'load what is missing with --only, have them dropped first (-- --clean --if-exists), or load into another database',
      ),
    );
  }
  if (dumped > target.major) {
    findings.push(
      fails(
        `the dump is of PostgreSQL ${dumped}, the server is ${target.major}: what is newer in it cannot be loaded`,
        'load into a server that is not older; where the dump uses nothing new, what fails are settings (SET transaction_timeout)',
      ),
    );
  }
  return findings;
}

function differences({ source, sourceLocale, target }: PlannedLoad): LoadFinding[] {
  const findings: LoadFinding[] = [];
  const encoding = target.locale.ENCODING ?? '';
  if (encoding !== source.encoding && encoding !== 'SQL_ASCII') {
    const unlike = `the database is ${encoding}, the dump ${source.encoding}`;
    findings.push(
      encoding === 'UTF8' && source.encoding !== 'SQL_ASCII'
        ? {
            weight: 'differs',
            what: `${unlike}: texts are converted`,
            remedy: 'nothing is lost; --create makes one like the dump',
          }
        : fails(
            `${unlike}: a text that ${encoding} has no characters for fails`,
            'load into a database of UTF8, or one that --create makes',
          ),
    );
  }
  const [here, there] = [sourceLocale, target.locale].map(describeDatabaseLocale);
  if (sourceLocale.LOCALE_PROVIDER !== undefined && here !== there) {
    findings.push({
      weight: 'differs',
      what: `the locale is ${there}, where it was dumped ${here}: texts are ordered otherwise`,
      remedy: '--create makes a database like the one that was dumped',
    });
  }
  return findings;
}

function refused(what: string, remedy: string): LoadFinding {
  return { weight: 'refused', what, remedy };
}

function fails(what: string, remedy: string): LoadFinding {
  return { weight: 'fails', what, remedy };
}

function list(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ');
}
