/*
 * Where the standbys of a primary stand, and what they make it keep. Positions are bytes since the beginning of WAL: up to
 * 2^53 of them, 9 petabytes, are exact as numbers.
 */

export interface SeenSender {
  readonly pid: number;
  readonly name: string;
  readonly address: string | undefined;
  readonly state: string;
  readonly syncState: string;
  readonly sentBytes: number | undefined;
  readonly writtenBytes: number | undefined;
  readonly flushedBytes: number | undefined;
  readonly replayedBytes: number | undefined;
  readonly replaySeconds: number | undefined;
}

export interface SeenSlot {
  readonly name: string;
  readonly physical: boolean;
  readonly temporary: boolean;
  /** Of who streams through it. */
  readonly pid: number | undefined;
  readonly walStatus: string | undefined;
  readonly restartBytes: number | undefined;
  /** What can be written until it loses WAL; `undefined` without a limit. */
  readonly safeBytes: number | undefined;
  readonly inactiveSince: string | undefined;
}

export interface PrimaryView {
  readonly positionBytes: number;
  readonly inRecovery: boolean;
  readonly synchronousNames: string;
  /** max_slot_wal_keep_size; `undefined`: without limit. */
  readonly slotLimitBytes: number | undefined;
  /** On the file system of pg_wal, where that is known. */
  readonly freeBytes: number | undefined;
  readonly senders: readonly SeenSender[];
  readonly slots: readonly SeenSlot[];
}

export interface StandbyLine {
  readonly name: string;
  readonly slot: string | null;
  readonly address: string | null;
  /**
   * `startup`, `catchup`, `streaming`, `stopping` of one that the primary knows; of others that were made on this host `cascaded`
   * (it streams from another standby), `archive` (it replays from the archive), `stopped`.
   */
  readonly state: string;
  readonly syncState: string;
  /** Written at the primary, and not replayed here. */
  readonly lagBytes: number | null;
  readonly lagSeconds: number | null;
  readonly sentLsn: string | null;
  readonly writeLsn: string | null;
  readonly flushLsn: string | null;
  readonly replayLsn: string | null;
  /** What its slot makes the primary keep. */
  readonly retainedBytes: number | null;
  readonly walStatus: string | null;
  readonly safeWalBytes: number | null;
}

export interface SlotLine {
  readonly name: string;
  readonly kind: 'physical' | 'logical';
  readonly active: boolean;
  readonly retainedBytes: number | null;
  readonly walStatus: string | null;
  readonly safeWalBytes: number | null;
  readonly inactiveSince: string | null;
}

export interface StandbysView {
  readonly standbys: readonly StandbyLine[];
  /** Those through which no standby streams. */
  readonly slots: readonly SlotLine[];
  readonly warnings: readonly string[];
}

/** `receivers`: names of those that take WAL without replaying it. */
export function viewStandbys(view: PrimaryView, receivers: readonly string[]): StandbysView {
  const streams = ({ state, name }: SeenSender): boolean => state !== 'backup' && !receivers.includes(name);
  const standbys = view.senders.filter(streams).map((sender) => toLine(sender, view));
  const used = new Set(standbys.map(({ slot }) => slot));
  const slots = view.slots
    .filter(({ name, temporary }) => !temporary && !used.has(name))
    .map((slot): SlotLine => ({
      name: slot.name,
      kind: slot.physical ? 'physical' : 'logical',
      active: slot.pid !== undefined,
      ...retentionOf(slot, view),
      inactiveSince: slot.inactiveSince ?? null,
    }));
  return { standbys, slots, warnings: view.slots.flatMap((slot) => warningsOf(slot, view)) };
}

/** Of a standby that was made on this host, and that the primary does not know. */
export interface UnseenStandby {
  readonly name: string;
  /** `undefined` where it does not answer. */
  readonly asked:
    | { readonly replayedBytes: number | undefined; readonly streaming: boolean; readonly slot: string }
    | undefined;
}

export function viewUnseen({ name, asked }: UnseenStandby, view: PrimaryView): StandbyLine {
  const slot = view.slots.find((one) => one.name === asked?.slot);
  const replayedBytes = asked?.replayedBytes;
  return {
    name,
    slot: slot?.name ?? null,
    address: null,
    state: !asked ? 'stopped' : asked.streaming ? 'cascaded' : 'archive',
    syncState: 'async',
    lagBytes: replayedBytes === undefined ? null : Math.max(0, view.positionBytes - replayedBytes),
    lagSeconds: null,
    sentLsn: null,
    writeLsn: null,
    flushLsn: null,
    replayLsn: lsnText(replayedBytes),
    ...(slot ? retentionOf(slot, view) : noRetention),
  };
}

/** Where its slot vanished it replays from the archive for ever, a segment late. */
export function unseenWarning({ name, asked }: UnseenStandby, view: PrimaryView): string | undefined {
  if (!asked || asked.streaming || asked.slot === '') return undefined;
  if (view.slots.some((slot) => slot.name === asked.slot)) return undefined;
  return `the standby "${name}" cannot stream: its slot "${asked.slot}" is not at the primary; make it anew: SELECT pg_create_physical_replication_slot('${asked.slot}', true)`;
}

const noRetention = { retainedBytes: null, walStatus: null, safeWalBytes: null };

function toLine(sender: SeenSender, view: PrimaryView): StandbyLine {
  const slot = view.slots.find(({ pid }) => pid === sender.pid);
  const { replayedBytes } = sender;
  const lagBytes = replayedBytes === undefined ? null : Math.max(0, view.positionBytes - replayedBytes);
  return {
    name: sender.name,
    slot: slot?.name ?? null,
    address: sender.address ?? null,
    state: sender.state,
    syncState: sender.syncState,
    lagBytes,
    // The server says nothing of it when nothing has been written for a while.
    lagSeconds: lagBytes === 0 ? 0 : (sender.replaySeconds ?? null),
    sentLsn: lsnText(sender.sentBytes),
    writeLsn: lsnText(sender.writtenBytes),
    flushLsn: lsnText(sender.flushedBytes),
    replayLsn: lsnText(replayedBytes),
    ...(slot ? retentionOf(slot, view) : noRetention),
  };
}

function retentionOf(
  slot: SeenSlot,
  view: PrimaryView,
): Pick<SlotLine, 'retainedBytes' | 'walStatus' | 'safeWalBytes'> {
  return {
    retainedBytes: retained(slot, view) ?? null,
    walStatus: slot.walStatus ?? null,
    safeWalBytes: slot.safeBytes ?? null,
  };
}

function retained({ restartBytes }: SeenSlot, { positionBytes }: PrimaryView): number | undefined {
  return restartBytes === undefined ? undefined : Math.max(0, positionBytes - restartBytes);
}

/** So much of what is free may be kept before it is a danger. */
const dangerousShare = 0.5;

function warningsOf(slot: SeenSlot, view: PrimaryView): string[] {
  const { name, walStatus } = slot;
  if (slot.temporary) return [];
  if (walStatus === 'lost') {
    return [
      `slot "${name}" has lost WAL (max_slot_wal_keep_size): its standby comes back by the archive; from PostgreSQL 18 on it streams again only when the slot is made anew: SELECT pg_drop_replication_slot('${name}'), pg_create_physical_replication_slot('${name}', true)`,
    ];
  }
  const keeps = retained(slot, view);
  if (keeps === undefined) return [];
  const kept = `slot "${name}" keeps ${keeps} bytes of WAL at the primary`;
  if (walStatus === 'unreserved')
    return [`${kept}, more than max_slot_wal_keep_size: it loses it at the next checkpoint`];
  const warnings: string[] = [];
  if (view.freeBytes !== undefined && view.slotLimitBytes === undefined && keeps > dangerousShare * view.freeBytes) {
    warnings.push(
      `DANGER: ${kept}, and ${view.freeBytes} are free there; without max_slot_wal_keep_size it fills the disk`,
    );
  }
  if (slot.pid === undefined) {
    const limit =
      view.slotLimitBytes === undefined
        ? 'without max_slot_wal_keep_size until the disk is full'
        : 'up to max_slot_wal_keep_size';
    warnings.push(
      `${kept}, ${limit}, and nobody streams through it; where its standby does not come back: SELECT pg_drop_replication_slot('${name}')`,
    );
  }
  return warnings;
}

function lsnText(bytes: number | undefined): string | null {
  if (bytes === undefined) return null;
  const value = BigInt(bytes);
  return `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xffff_ffffn).toString(16).toUpperCase()}`;
}
