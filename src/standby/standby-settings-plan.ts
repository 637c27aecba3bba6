import type { Timeline } from '../postgres/timeline.ts';

/*
 * What stands in postgresql.auto.conf of a standby, after
 * https://www.postgresql.org/docs/18/warm-standby.html and
 * https://www.postgresql.org/docs/18/hot-standby.html#HOT-STANDBY-ADMIN
 */

/** Of these a standby needs at least what its primary has, or it pauses, or refuses to start. */
export const leastSettings = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
] as const;

type Limits = Readonly<Partial<Record<(typeof leastSettings)[number], number>>>;

/** Where pg_control keeps them, in the same order: five numbers of four bytes (catalog/pg_control.h). */
const limitsOffset = 180;

/** What the primary had when the file was written. */
export function limitsIn(control: Uint8Array): Limits {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  return Object.fromEntries(leastSettings.map((name, index) => [name, view.getInt32(limitsOffset + 4 * index, true)]));
}

/** Those that the primary has raised since: the restored configuration has the old ones. */
export function raisedLimits(before: Limits, present: Limits): Record<string, string> {
  const raised = leastSettings.filter((name) => (present[name] ?? 0) > (before[name] ?? 0));
  return Object.fromEntries(raised.map((name) => [name, String(present[name])]));
}

/**
 * What recovery_target_timeline has to be. PostgreSQL goes to the newest timeline whose history it is given (timeline.c,
 * findNewestTimeLine). Where the primary is on an older one, that was given up, as by a recovery that was undone: no way leads from
 * there to the primary. A standby that is followed may only not be there yet.
 */
export function timelineToFollow(
  upstream: { readonly inRecovery: boolean; readonly timeline: Timeline } | undefined,
  known: Iterable<Timeline>,
): Timeline | 'latest' {
  if (!upstream || upstream.inRecovery) return 'latest';
  return new Set<number>(known).has(upstream.timeline + 1) ? upstream.timeline : 'latest';
}

export interface StandbyWish {
  /** Of the server to follow, without a password; `undefined`: none, WAL comes from the archive alone. */
  readonly upstream: { readonly conninfo: string; readonly slot: string } | undefined;
  readonly restoreCommand: string;
  readonly timeline: Timeline | 'latest';
  readonly delayMs: number | undefined;
  readonly port: number | undefined;
  readonly raised: Readonly<Record<string, string>>;
}

/** What a recovery of the administrator's files would have to stop at: a standby stops nowhere. */
const noTarget = [
  'recovery_target',
  'recovery_target_time',
  'recovery_target_xid',
  'recovery_target_lsn',
  'recovery_target_name',
];

export function standbySettings(wish: StandbyWish): Record<string, string> {
  const { upstream, delayMs, port } = wish;
  return {
    restore_command: wish.restoreCommand,
    recovery_target_timeline: String(wish.timeline),
    ...Object.fromEntries(noTarget.map((name) => [name, ''])),
    primary_conninfo: upstream?.conninfo ?? '',
    primary_slot_name: upstream?.slot ?? '',
    hot_standby: 'on',
    recovery_min_apply_delay: `${delayMs ?? 0}ms`,
    // The archive serves others, too.
    archive_cleanup_command: '',
    recovery_end_command: '',
    // On the host of the primary it would be the primary's.
    external_pid_file: '',
    ...wish.raised,
    ...(port === undefined ? {} : { port: String(port) }),
  };
}
