import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advisePrimary, type UpstreamSettings } from './primary-settings-plan.ts';
import { raisedLimits, standbySettings } from './standby-settings-plan.ts';

const good: UpstreamSettings = {
  walLevel: 'replica',
  maxWalSenders: 10,
  senders: 2,
  maxReplicationSlots: 10,
  slots: 2,
  rewindable: true,
  maxSlotWalKeepMegabytes: 4096,
  maxWalMegabytes: 1024,
  synchronousNames: '',
};
const wish = { makesSlot: true, synchronousNames: undefined };

test('nothing is advised where all is right', () => {
  assert.deepEqual(advisePrimary(good, wish), []);
  assert.deepEqual(advisePrimary({ ...good, walLevel: 'logical', slots: 10 }, { ...wish, makesSlot: false }), []);
});

test('everything that is not right has its statement', () => {
  const bad = { ...good, walLevel: 'minimal', senders: 10, slots: 10, rewindable: false, maxSlotWalKeepMegabytes: -1 };
  const advice = advisePrimary(bad, { makesSlot: true, synchronousNames: `ANY 1 (a, "it's")` });
  assert.deepEqual(
    advice.map(({ statement, needed }) => [statement, needed]),
    [
      ["ALTER SYSTEM SET wal_level = 'replica';", true],
      ["ALTER SYSTEM SET max_wal_senders = '15';", true],
      ["ALTER SYSTEM SET max_replication_slots = '15';", true],
      ["ALTER SYSTEM SET wal_log_hints = 'on';", false],
      ["ALTER SYSTEM SET max_slot_wal_keep_size = '4096MB';", false],
      [`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (a, "it''s")';`, false],
    ],
  );
});

test('only limits that the primary has raised since are set', () => {
  const before = { max_connections: 100, max_wal_senders: 10 };
  assert.deepEqual(raisedLimits(before, { max_connections: 200, max_wal_senders: 5 }), { max_connections: '200' });
});

test('without an upstream a standby connects to nobody', () => {
  const settings = standbySettings({
    upstream: undefined,
    restoreCommand: 'get "%f" "%p"',
    delayMs: 3_600_000,
    port: 5433,
    raised: {},
    timeline: 'latest',
  });
  assert.deepEqual(
    [
      settings['primary_conninfo'],
      settings['primary_slot_name'],
      settings['recovery_min_apply_delay'],
      settings['port'],
    ],
    ['', '', '3600000ms', '5433'],
  );
});
