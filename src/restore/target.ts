import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { parseTime } from './parse-time.ts';

/*
 * What can be asked of recovery, after
 * https://www.postgresql.org/docs/18/runtime-config-wal.html#RUNTIME-CONFIG-WAL-RECOVERY-TARGET.
 */

export type RecoveryTarget =
  /** Everything that is archived. */
  | { readonly kind: 'latest' }
  /** As soon as the backup is consistent. */
  | { readonly kind: 'immediate' }
  /** Microseconds since 2000-01-01 UTC, as in WAL. */
  | { readonly kind: 'time'; readonly time: bigint }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  | { readonly kind: 'xid'; readonly xid: number }
  | { readonly kind: 'name'; readonly name: string };

export type TargetTimeline = 'latest' | 'current' | Timeline;
export type TargetAction = 'pause' | 'promote' | 'shutdown';

export interface RecoveryRequest {
  readonly target: RecoveryTarget;
  /** Whether to stop just after the target (true) or just before it; of no meaning for latest, immediate and name. */
  readonly inclusive: boolean;
  readonly timeline: TargetTimeline;
  readonly action: TargetAction;
}

/** As the command line gives them. */
export interface TargetOptions {
  readonly targetTime?: string;
  readonly targetLsn?: string;
  readonly targetXid?: string;
  readonly targetName?: string;
  readonly targetImmediate?: boolean;
  readonly targetExclusive?: boolean;
  readonly targetTimeline?: string;
  readonly targetAction?: string;
}

const actions: readonly TargetAction[] = ['pause', 'promote', 'shutdown'];

/** Throws `usage` for two targets at once and for what cannot be read. */
export function parseTarget(options: TargetOptions): RecoveryRequest {
  const targets = readTargets(options);
  const [target, second] = targets;
  if (second) {
    throw new PgrecallError('usage', 'more than one recovery target was given; PostgreSQL takes one', {
      details: { targets: targets.map(({ kind }) => kind) },
    });
  }
  const action = options.targetAction ?? 'pause';
  if (!isAction(action)) {
    throw new PgrecallError('usage', `--target-action is "${action}"; expected one of ${actions.join(', ')}`);
  }
  const exclusive = options.targetExclusive === true;
  if (exclusive && (!target || target.kind === 'immediate' || target.kind === 'name')) {
    throw new PgrecallError('usage', '--target-exclusive goes with --target-time, --target-lsn or --target-xid');
  }
  return {
    target: target ?? { kind: 'latest' },
    inclusive: !exclusive,
    timeline: parseTargetTimeline(options.targetTimeline ?? 'latest'),
    action,
  };
}

function readTargets(options: TargetOptions): RecoveryTarget[] {
  const targets: RecoveryTarget[] = [];
  if (options.targetTime !== undefined) targets.push({ kind: 'time', time: parseTime(options.targetTime) });
  if (options.targetLsn !== undefined) targets.push({ kind: 'lsn', lsn: parseLsn(options.targetLsn) });
  if (options.targetXid !== undefined) targets.push({ kind: 'xid', xid: parseXid(options.targetXid) });
  if (options.targetName !== undefined) targets.push({ kind: 'name', name: parseName(options.targetName) });
  if (options.targetImmediate === true) targets.push({ kind: 'immediate' });
  return targets;
}

function isAction(text: string): text is TargetAction {
  return (actions as readonly string[]).includes(text);
}

/** PostgreSQL prints 64-bit identifiers since version 13 (epoch and all), WAL has the low 32 bits. */
function parseXid(text: string): number {
  if (!/^\d{1,20}$/.test(text)) {
    throw new PgrecallError('usage', `--target-xid is "${text}"; expected a transaction's number`);
  }
  return Number(BigInt.asUintN(32, BigInt(text)));
}

/** MAXFNAMELEN of xlog_internal.h is 64, the closing zero included. */
function parseName(text: string): string {
  if (text === '' || Buffer.byteLength(text) > 63) {
    throw new PgrecallError(
      'usage',
      '--target-name is empty or longer than the 63 bytes that a restore point can have',
    );
  }
  return text;
}

function parseTargetTimeline(text: string): TargetTimeline {
  if (text === 'latest' || text === 'current') return text;
  if (!/^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text)) {
    throw new PgrecallError('usage', `--target-timeline is "${text}"; expected latest, current or a timeline's number`);
  }
  return timeline(Number(text));
}

/** For messages: "up to and including 2026-11-23 08:38:34+00". */
export function describeTarget(request: RecoveryRequest): string {
  const side = request.inclusive ? 'just after' : 'just before';
  const { target } = request;
  switch (target.kind) {
    case 'latest':
      return 'the end of the archived WAL';
    case 'immediate':
      return 'the moment at which the backup is consistent';
    case 'time':
      return `${side} ${formatTimestamp(target.time)}`;
    case 'lsn':
      return `${side} ${formatLsn(target.lsn)}`;
    case 'xid':
      return `${side} transaction ${target.xid}`;
    case 'name':
      return `the restore point "${target.name}"`;
  }
}
