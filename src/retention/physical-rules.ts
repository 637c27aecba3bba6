import type { RetentionSettings } from '../config/retention-settings.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { hasPeriods, keepNewest, keepPeriods, keepYoung, type Dated, type Reasons } from './keep-rules.ts';
import type { LocalOffset } from './periods.ts';

type PhysicalSettings = RetentionSettings['physical'];
type BackupType = BackupRecord['type'];

/** What the configuration says of physical backups; `dated` is in order of time. */
export function applyPhysicalRules(
  dated: readonly Dated[],
  settings: PhysicalSettings,
  clock: { readonly nowMs: number; readonly localOffset: LocalOffset },
  reasons: Reasons,
): void {
  for (const type of ['full', 'differential', 'incremental'] as const) {
    const own = dated.filter(({ backup }) => backup.type === type);
    if (!hasRule(type, settings)) {
      for (const { backup } of own) reasons.add(backup, 'no-rule', `there is no rule for ${type} backups`);
    }
    keepNewest(own, settings[type], `keep_${type}`, `${type} backup`, reasons);
  }
  keepYoung(dated, settings.forMs, clock.nowMs, 'keep_for', reasons);
  // After what keeps the ones that they go with; differentials before the incrementals that come after them.
  if (settings.differential === undefined) keepWithBase(dated, 'differential', ['full'], reasons);
  if (settings.incremental === undefined) keepWithBase(dated, 'incremental', ['full', 'differential'], reasons);
  keepPeriods(dated, settings.periods, 'keep', clock.localOffset, reasons);
}

export function hasPhysicalRules(settings: PhysicalSettings): boolean {
  return (['full', 'differential', 'incremental'] as const).some((type) => hasRule(type, settings));
}

/** Whether there is anything by which backups of a type could go. */
function hasRule(type: BackupType, settings: PhysicalSettings): boolean {
  const { full, differential, incremental, forMs, periods } = settings;
  if (full !== undefined || forMs !== undefined || hasPeriods(periods)) return true;
  if (type === 'full') return false;
  if (differential !== undefined) return true;
  return type === 'incremental' && incremental !== undefined;
}

/**
 * None is needed to restore another: this is what an administrator means who keeps four full backups. A period or a mark
 * that keeps a backup for a year does not keep for a year what came after it, nor does its age: that counts for each.
 */
function keepWithBase(
  dated: readonly Dated[],
  type: BackupType,
  baseTypes: readonly BackupType[],
  reasons: Reasons,
): void {
  const bases = new Map<number, BackupRecord>();
  for (const { backup } of dated) {
    if (baseTypes.includes(backup.type)) bases.set(backup.incarnation, backup);
    const base = bases.get(backup.incarnation);
    if (backup.type !== type || !base) continue;
    const kept = reasons.of(base).find(({ rule }) => ['keep_full', 'keep_differential', 'no-rule'].includes(rule));
    if (kept) reasons.add(backup, kept.rule, `goes with ${base.id}`);
  }
}
