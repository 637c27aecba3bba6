import { formatLsn } from '../postgres/lsn.ts';
import type { BlockRange, Damage } from '../restore/find-harm.ts';
import type { BackupVerdict } from '../restore/backups-verification.ts';
import type { ClusterVerdict } from '../restore/verify-cluster.ts';
import type { CliContext } from './context.ts';
import { formatBytes } from './format.ts';

/* What `pgrecall verify` says: by backup, which files and which tables are harmed. */

export function isGood({ backups, wal }: ClusterVerdict): boolean {
  return (
    backups.every(({ damage }) => damage.length === 0) &&
    wal.every(({ damage, gaps }) => damage.length === 0 && gaps.length === 0)
  );
}

export function toDocument(cluster: string, verdict: ClusterVerdict): unknown {
  return {
    cluster,
    ok: isGood(verdict),
    packs: verdict.packs,
    backups: verdict.backups.map(({ backup, files, sizeBytes, damage, moreDamage }) => ({
      id: backup,
      ok: damage.length === 0,
      files,
      sizeBytes,
      damage,
      moreDamage,
      tables: tablesOf(damage),
    })),
    wal: verdict.wal.map(({ incarnation, segments, known, damage, withoutIndex }) => ({
      incarnation,
      segments,
      known,
      damage,
      withoutIndex,
    })),
    gaps: verdict.wal.flatMap(({ incarnation, gaps }) =>
      gaps.map(({ timeline, fromLsn, toLsn }) => ({
        incarnation,
        timeline,
        from: formatLsn(fromLsn),
        to: formatLsn(toLsn),
      })),
    ),
    notes: verdict.notes,
  };
}

/** Relations that are harmed, each once. */
function tablesOf(damage: readonly Damage[]): { database: string | null; relation: string }[] {
  const found = new Map<string, { database: string | null; relation: string }>();
  for (const { database = null, relation } of damage) {
    if (relation !== undefined) found.set(`${database} ${relation}`, { database, relation });
  }
  return [...found.values()];
}

const shownProblems = 20;
const shownPlaces = 5;
const shownBlocks = 3;

export function writeReport(verdict: ClusterVerdict, context: CliContext): void {
  const { backups, wal, packs, notes } = verdict;
  for (const { backup, files, sizeBytes, damage, moreDamage } of backups) {
    context.stdout(`${mark(damage)}  ${backup}: ${files} files, ${formatBytes(sizeBytes)}`);
    writeDamage(damage, context);
    if (moreDamage > 0) context.stdout(`         and ${moreDamage} more files`);
  }
  for (const { incarnation, segments, known, damage, withoutIndex, gaps } of wal) {
    const what = wal.length === 1 ? 'WAL' : `WAL of incarnation ${incarnation}`;
    const skipped = known === 0 ? '' : `, ${known} of them verified before`;
    context.stdout(`${mark(damage)}  ${what}: ${segments} segment(s)${skipped}`);
    writeDamage(
      damage.map(({ name, code, message }) => ({ path: name, code, message })),
      context,
    );
    for (const { timeline, fromLsn, toLsn } of gaps) {
      context.stdout(`GAP      timeline ${timeline}: ${formatLsn(fromLsn)} to ${formatLsn(toLsn)} is not archived`);
    }
    if (withoutIndex.length > 0) {
      context.stdout(`note     ${withoutIndex.length} segment(s) have no index; it is read from the WAL itself`);
    }
  }
  if (packs.known > 0) {
    context.stdout(
      `note     ${packs.known} of ${packs.known + packs.read} pack(s) were verified before, and looked for`,
    );
  }
  for (const note of notes) context.stdout(`note     ${note}`);
  if (!isGood(verdict)) context.stderr(advice(backups));
}

function advice(backups: readonly BackupVerdict[]): string {
  const good = backups.filter(({ damage }) => damage.length === 0).map(({ backup }) => backup);
  const harmed = backups.length - good.length;
  if (harmed === 0) return 'damage was found; it harms no backup';
  const untouched =
    good.length === 0
      ? 'no backup is untouched'
      : `untouched: ${good.slice(-shownPlaces).join(', ')}${good.length > shownPlaces ? ` and ${good.length - shownPlaces} more` : ''}`;
  return `damage was found: what is named above cannot be restored as it was; take a fresh backup (${untouched})`;
}

function mark(damage: readonly unknown[]): string {
  return damage.length === 0 ? 'ok     ' : 'DAMAGED';
}

/** One line a problem, with what it harms: a pack that is gone harms a thousand files in the same way. */
function writeDamage(damage: readonly Damage[], context: CliContext): void {
  const problems = new Map<string, Damage[]>();
  for (const one of damage) {
    const problem = `${one.code}: ${one.message}`;
    const all = problems.get(problem);
    if (all) all.push(one);
    else problems.set(problem, [one]);
  }
  for (const [problem, all] of [...problems].slice(0, shownProblems)) {
    context.stdout(`         ${problem}`);
    for (const line of harmLines(all)) context.stdout(`           harms ${line}`);
  }
  const hidden = problems.size - shownProblems;
  if (hidden > 0) context.stdout(`         and ${hidden} more problems; --json has all of them`);
}

/** A line a database, and one for what belongs to none. */
function harmLines(damage: readonly Damage[]): string[] {
  const places = new Map<string, string[]>();
  for (const one of damage) {
    const database = one.database ?? '';
    const there = places.get(database);
    if (there) there.push(describePlace(one));
    else places.set(database, [describePlace(one)]);
  }
  return [...places].map(([database, all]) => {
    const rest = all.length > shownPlaces ? ` and ${all.length - shownPlaces} more` : '';
    const where = database === '' ? '' : `in database ${database}: `;
    return `${where}${all.slice(0, shownPlaces).join(', ')}${rest}`;
  });
}

/** `public.rental (base/16384/16455, blocks 12 - 43)`, or the path alone. */
function describePlace({ path, relation, blocks = [] }: Damage): string {
  const shown = blocks.slice(0, shownBlocks).map(describeBlocks);
  const rest = blocks.length > shownBlocks ? [`${blocks.length - shownBlocks} more ranges`] : [];
  const single = blocks.length === 1 && blocks[0]?.[0] === blocks[0]?.[1];
  const where = shown.length === 0 ? '' : `${single ? 'block' : 'blocks'} ${[...shown, ...rest].join(', ')}`;
  if (relation !== undefined) return `${relation} (${[path, ...(where === '' ? [] : [where])].join(', ')})`;
  return where === '' ? path : `${path} (${where})`;
}

function describeBlocks([first, last]: BlockRange): string {
  return first === last ? String(first) : `${first} - ${last}`;
}
