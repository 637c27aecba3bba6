/*
 * What a primary has to be set to for a standby, after
 * https://www.postgresql.org/docs/18/runtime-config-replication.html; each with the statement that sets it.
 */

export interface UpstreamSettings {
  readonly walLevel: string;
  readonly maxWalSenders: number;
  /** In use. */
  readonly senders: number;
  readonly maxReplicationSlots: number;
  /** In use. */
  readonly slots: number;
  /** Whether pg_rewind can bring it back after a failover: page checksums, or wal_log_hints. */
  readonly rewindable: boolean;
  /** -1: without limit. */
  readonly maxSlotWalKeepMegabytes: number;
  readonly maxWalMegabytes: number;
  readonly synchronousNames: string;
}

export interface PrimaryAdvice {
  readonly name: string;
  readonly current: string;
  readonly wanted: string;
  readonly needsRestart: boolean;
  /** Without it the standby cannot stream. */
  readonly needed: boolean;
  readonly why: string;
  readonly statement: string;
}

/** Only what is not right. */
export function advisePrimary(
  settings: UpstreamSettings,
  wish: { readonly makesSlot: boolean; readonly synchronousNames: string | undefined },
): PrimaryAdvice[] {
  const advice: PrimaryAdvice[] = [];
  const add = (one: Omit<PrimaryAdvice, 'statement'>): void => {
    advice.push({ ...one, statement: `ALTER SYSTEM SET ${one.name} = ${quoteLiteral(one.wanted)};` });
  };
  if (settings.walLevel === 'minimal') {
    const why = 'WAL has to hold enough to replay it elsewhere';
    add({ name: 'wal_level', current: 'minimal', wanted: 'replica', needsRestart: true, needed: true, why });
  }
  if (settings.senders >= settings.maxWalSenders) {
    const why = `each standby takes one, and ${settings.senders} are in use`;
    const [current, wanted] = [String(settings.maxWalSenders), String(Math.max(10, settings.senders + 5))];
    add({ name: 'max_wal_senders', current, wanted, needsRestart: true, needed: true, why });
  }
  if (wish.makesSlot && settings.slots >= settings.maxReplicationSlots) {
    const why = `each standby takes one, and ${settings.slots} are in use`;
    const [current, wanted] = [String(settings.maxReplicationSlots), String(Math.max(10, settings.slots + 5))];
    add({ name: 'max_replication_slots', current, wanted, needsRestart: true, needed: true, why });
  }
  if (!settings.rewindable) {
    const why = 'without it, or page checksums, pg_rewind cannot bring this server back after a failover';
    add({ name: 'wal_log_hints', current: 'off', wanted: 'on', needsRestart: true, needed: false, why });
  }
  if (settings.maxSlotWalKeepMegabytes < 0) {
    const why =
      'the slot of a standby that stays away fills this server’s disk; with a limit, it comes back by the archive';
    const wanted = `${Math.max(4096, 4 * settings.maxWalMegabytes)}MB`;
    add({ name: 'max_slot_wal_keep_size', current: '-1', wanted, needsRestart: false, needed: false, why });
  }
  const names = wish.synchronousNames;
  if (names !== undefined && names !== settings.synchronousNames) {
    const why = 'commits wait for these standbys';
    const current = settings.synchronousNames;
    add({ name: 'synchronous_standby_names', current, wanted: names, needsRestart: false, needed: false, why });
  }
  return advice;
}

/** A string constant; without backslashes, so that it is one whatever standard_conforming_strings says. */
function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
