import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewStandbys, type PrimaryView, type SeenSender, type SeenSlot } from './status-plan.ts';

const sender: SeenSender = {
  pid: 10,
  name: 'a',
  address: '10.0.0.2',
  state: 'streaming',
  syncState: 'async',
  sentBytes: 0x1_0000_1000,
  writtenBytes: 0x1_0000_1000,
  flushedBytes: 0x1_0000_0800,
  replayedBytes: 0x1_0000_0000,
  replaySeconds: 1.5,
};
const slot: SeenSlot = {
  name: 'a_slot',
  physical: true,
  temporary: false,
  pid: 10,
  walStatus: 'reserved',
  restartBytes: 0x1_0000_0000,
  safeBytes: undefined,
  inactiveSince: undefined,
};
const primary: PrimaryView = {
  positionBytes: 0x1_0000_2000,
  inRecovery: false,
  synchronousNames: '',
  slotLimitBytes: undefined,
  freeBytes: undefined,
  senders: [sender],
  slots: [slot],
};

test('a standby has its slot, and its lag from what the primary has written', () => {
  const { standbys, slots, warnings } = viewStandbys(primary, []);
  assert.deepEqual(standbys, [
    {
      name: 'a',
      slot: 'a_slot',
      address: '10.0.0.2',
      state: 'streaming',
      syncState: 'async',
      lagBytes: 0x2000,
      lagSeconds: 1.5,
      sentLsn: '1/1000',
      writeLsn: '1/1000',
      flushLsn: '1/800',
      replayLsn: '1/0',
      retainedBytes: 0x2000,
      walStatus: 'reserved',
      safeWalBytes: null,
    },
  ]);
  assert.deepEqual([slots, warnings], [[], []]);
});

test('one that has replayed everything is 0 seconds behind, however long ago that was', () => {
  const idle = { ...sender, replayedBytes: primary.positionBytes, replaySeconds: undefined };
  const [line] = viewStandbys({ ...primary, senders: [idle] }, []).standbys;
  assert.deepEqual([line?.lagBytes, line?.lagSeconds], [0, 0]);
});

test('receivers and base backups are no standbys; the slot of a receiver is none without a standby in use', () => {
  const backup = { ...sender, pid: 11, state: 'backup' };
  const { standbys, slots } = viewStandbys({ ...primary, senders: [sender, backup] }, ['a']);
  assert.deepEqual(standbys, []);
  assert.deepEqual(
    slots.map(({ name, active }) => [name, active]),
    [['a_slot', true]],
  );
});

test('a slot that nobody uses is told, with its danger where the free space is known', () => {
  const view = { ...primary, senders: [], slots: [{ ...slot, pid: undefined, restartBytes: 0 }] };
  assert.match(viewStandbys(view, []).warnings.join('\n'), /until the disk is full, and nobody streams/);
  const full = { ...view, freeBytes: 0x1_0000_0000 };
  assert.match(viewStandbys(full, []).warnings.join('\n'), /DANGER: .*4294967296 are free/);
  const limited = { ...full, slotLimitBytes: 1 };
  assert.doesNotMatch(viewStandbys(limited, []).warnings.join('\n'), /DANGER/);
});

test('a slot that loses WAL, or has lost it, is told', () => {
  const losing = { ...primary, slots: [{ ...slot, walStatus: 'unreserved' }] };
  assert.match(viewStandbys(losing, []).warnings.join('\n'), /at the next checkpoint/);
  const lost = { ...primary, slots: [{ ...slot, walStatus: 'lost', restartBytes: undefined }] };
  assert.match(viewStandbys(lost, []).warnings.join('\n'), /by the archive/);
});
