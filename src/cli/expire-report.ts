import type { RetentionSettings } from '../config/retention-settings.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Verdict } from '../retention/expiry-plan.ts';
import type { WalExpiryPlan } from '../retention/wal-expiry-plan.ts';
import type { CliContext } from './context.ts';
import type { ExpireOutcome } from './expire-cluster.ts';
import type { PlannedFreeing } from './expire-freeing.ts';
import { formatBytes, formatIso, formatTable } from './format.ts';
import { planLife, spansAfter, type DamagedPart, type ExpirySurvey, type SurveyedLife } from './survey-expiry.ts';

/** What `expire` says: of what would happen, or of what has. */
export interface ExpireDocument {
  readonly cluster: string;
  /** False with `--plan`. */
  readonly executed: boolean;
  readonly backups: readonly JudgedBackup[];
  /** `null` where packs were left alone, since something cannot be read. */
  readonly freed: Freed | null;
  readonly wal: readonly WalLeft[];
  /** From when on every moment can be recovered; `null` where no time was asked for. */
  readonly everyMomentSince: string | null;
  readonly damaged: readonly DamagedPart[];
  readonly notes: readonly string[];
}

interface JudgedBackup {
  readonly id: string;
  readonly kind: BackupRecord['kind'] | null;
  readonly type: BackupRecord['type'] | null;
  readonly stoppedAt: string | null;
  readonly stays: boolean;
  readonly reasons: readonly { readonly rule: string; readonly text: string }[];
}

interface Freed {
  readonly packs: number;
  readonly bytes: number;
  /** Of packs that are mostly dead, which were written anew. */
  readonly repackedPacks: number;
}

interface WalLeft {
  readonly incarnation: number;
  /** Why nothing of it goes. */
  readonly untouched: string | null;
  /** How many go. */
  readonly segments: number;
  /** Those that stay; `to` is `null` where it goes on. */
  readonly kept: readonly { readonly timeline: number; readonly from: string; readonly to: string | null }[];
  readonly recoverable: readonly {
    readonly timeline: number;
    readonly from: string | null;
    readonly fromLsn: string;
    readonly toLsn: string;
  }[];
}

export type Done = { readonly plan: PlannedFreeing } | { readonly outcome: ExpireOutcome };

export function describeExpiry(
  cluster: string,
  settings: RetentionSettings,
  survey: ExpirySurvey,
  done: Done,
): ExpireDocument {
  const segments = 'plan' in done ? done.plan.walSegments : done.outcome.walSegments;
  return {
    ...describeDone(cluster, done, survey.damaged),
    backups: survey.verdicts.map(describeVerdict),
    wal: survey.lives.map((life, i) => {
      const plan = planLife(life, survey, settings, false);
      return describeWal(life, plan, survey.verdicts, segments[i] ?? 0);
    }),
    everyMomentSince: survey.windowFromMs === undefined ? null : new Date(survey.windowFromMs).toISOString(),
  };
}

/** `backup`: `undefined` where its record cannot be read. */
export function describeNamed(
  cluster: string,
  id: string,
  backup: BackupRecord | undefined,
  done: Done,
  damaged: readonly DamagedPart[],
): ExpireDocument {
  const { kind = null, type = null, stoppedAt = null } = backup ?? {};
  return {
    ...describeDone(cluster, done, damaged),
    backups: [{ id, kind, type, stoppedAt, stays: false, reasons: [{ rule: 'named', text: 'named' }] }],
    wal: [],
    everyMomentSince: null,
  };
}

function describeDone(
  cluster: string,
  done: Done,
  damaged: readonly DamagedPart[],
): Pick<ExpireDocument, 'cluster' | 'executed' | 'freed' | 'damaged' | 'notes'> {
  if ('plan' in done) {
    const { packs, bytes, sharedPacks } = done.plan;
    const shared = `${sharedPacks} pack(s) are shared with backups that stay; those that are mostly dead are repacked`;
    const notes = sharedPacks > 0 ? [shared] : [];
    return { cluster, executed: false, freed: { packs, bytes, repackedPacks: 0 }, damaged, notes };
  }
  const { swept } = done.outcome;
  if (!swept) return { cluster, executed: true, freed: null, damaged, notes: [] };
  const { packs, bytes, repacked, notes } = swept;
  const freed = {
    packs: packs + repacked.packs,
    bytes: Math.max(0, bytes + repacked.freedBytes),
    repackedPacks: repacked.packs,
  };
  return { cluster, executed: true, freed, damaged, notes };
}

function describeVerdict(verdict: Verdict): JudgedBackup {
  const { id, kind, type, stoppedAt } = verdict.backup;
  const reasons = verdict.stays ? verdict.reasons : [{ rule: 'none', text: verdict.why }];
  return { id, kind, type, stoppedAt, stays: verdict.stays, reasons };
}

function describeWal(
  surveyed: SurveyedLife,
  plan: WalExpiryPlan,
  verdicts: readonly Verdict[],
  segments: number,
): WalLeft {
  const { incarnation, segmentBytes } = surveyed.life;
  const kept = plan.untouched === undefined ? [...plan.kept] : [];
  return {
    incarnation,
    untouched: plan.untouched ?? null,
    segments,
    kept: kept.flatMap(([timeline, ranges]) =>
      ranges.map(({ first, last }) => ({
        timeline,
        from: formatSegmentName({ timeline, number: first }, segmentBytes),
        to: last === undefined ? null : formatSegmentName({ timeline, number: last }, segmentBytes),
      })),
    ),
    recoverable: spansAfter(surveyed, plan, verdicts).map(({ timeline, backup, fromLsn, toLsn, firstCommitTime }) => ({
      timeline,
      from: backup?.stoppedAt ?? (firstCommitTime === undefined ? null : formatIso(firstCommitTime)),
      fromLsn: formatLsn(fromLsn),
      toLsn: formatLsn(toLsn),
    })),
  };
}

export function writeExpiry(document: ExpireDocument, context: CliContext): void {
  for (const { id, code, message } of document.damaged) {
    const what =
      id === null ? 'WAL is left alone' : `backup ${id} is not judged, and nothing that it may need is removed`;
    context.stderr(`warning: ${what}: ${code}: ${message}`);
  }
  if (context.json) context.stdout(JSON.stringify(document, undefined, 2));
  else context.stdout(toText(document));
}

function toText(document: ExpireDocument): string {
  const { executed, freed } = document;
  const lines = [`cluster ${document.cluster}`];
  lines.push(document.backups.length === 0 ? 'no backups' : backupTable(document));
  if (freed) {
    const repacked = freed.repackedPacks > 0 ? `, ${freed.repackedPacks} of them repacked` : '';
    lines.push(`packs: ${freed.packs}${executed ? ' removed' : ' would go'}${repacked}, ${formatBytes(freed.bytes)}`);
  } else lines.push('packs: left alone');
  for (const wal of document.wal) lines.push(...walLines(wal, document));
  if (document.everyMomentSince !== null) lines.push(`every moment since ${document.everyMomentSince} is to be kept`);
  for (const note of document.notes) lines.push(`note: ${note}`);
  return lines.join('\n');
}

function backupTable({ backups, executed }: ExpireDocument): string {
  const goes = executed ? 'gone' : 'goes';
  return formatTable([
    ['backup', 'what', 'ended', '', 'why'],
    ...backups.map(({ id, kind, type, stoppedAt, stays, reasons }) => [
      id,
      kind === null ? '?' : `${kind} ${type}`,
      stoppedAt ?? '?',
      stays ? 'stays' : goes,
      reasons.map(({ text }) => text).join('; '),
    ]),
  ]);
}

function walLines(wal: WalLeft, { executed, wal: all }: ExpireDocument): string[] {
  const what = all.length > 1 ? `WAL of incarnation ${wal.incarnation}` : 'WAL';
  if (wal.untouched !== null) return [`${what}: stays; ${wal.untouched}`];
  const lines = [`${what}: ${wal.segments} segment(s)${executed ? ' removed' : ' would go'}`];
  for (const { from, to } of wal.kept) lines.push(`  stays: ${from} ${to === null ? 'and what follows' : `to ${to}`}`);
  for (const { timeline, from, fromLsn, toLsn } of wal.recoverable) {
    lines.push(`  recoverable: timeline ${timeline}, from ${from ?? '?'} (${fromLsn}) to ${toLsn}`);
  }
  return lines;
}
