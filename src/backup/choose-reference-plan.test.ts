import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseLsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { chooseReference, unfitness, type BackupPlan, type WantedBackup } from './choose-reference-plan.ts';

const full = backupRecord('1-full', { startLsn: '0/2000028', endLsn: '0/2000100' });
const increment = backupRecord('2-incremental', { type: 'incremental', startLsn: '0/4000028', endLsn: '0/4000100' });
const differential = backupRecord('3-differential', {
  type: 'differential',
  startLsn: '0/6000028',
  endLsn: '0/6000100',
});
const all = [full, increment, differential];

function wanted(changes: Partial<WantedBackup>): WantedBackup {
  return {
    type: 'incremental',
    independent: false,
    incarnation: 1,
    history: { timeline: timeline(1), parents: [] },
    startLsn: parseLsn('0/8000028'),
    dataChecksums: true,
    ...changes,
  };
}

function choose(backups: typeof all, changes: Partial<WantedBackup> = {}): BackupPlan {
  return chooseReference(backups, wanted(changes));
}

/** Why what is known of changes since the one that is chosen does not count. */
function unfit(backups: typeof all, changes: Partial<WantedBackup> = {}): string {
  const { reference } = choose(backups, changes);
  assert.ok(reference);
  return unfitness(reference, wanted(changes)) ?? 'fit';
}

const onSecond = (switchLsn: string): Partial<WantedBackup> => ({
  history: { timeline: timeline(2), parents: [{ timeline: timeline(1), switchLsn: parseLsn(switchLsn), reason: '' }] },
});

describe('what a backup builds on', () => {
  it('is the last backup for an incremental and a full one, the last full one for a differential', () => {
    assert.equal(choose(all).reference, differential);
    assert.equal(choose(all, { type: 'full' }).reference, differential);
    assert.equal(choose(all, { type: 'differential' }).reference, full);
  });

  it('is nothing for an independent one', () => {
    assert.deepEqual(choose(all, { type: 'full', independent: true }), {
      type: 'full',
      reference: undefined,
      instead: undefined,
    });
  });

  it('is neither a dump nor a backup of another incarnation; without one, a full backup is taken, and why', () => {
    const dump = backupRecord('4-dump', { kind: 'logical', startLsn: '', endLsn: '' });
    const other = backupRecord('5-full', { incarnation: 2, startLsn: '0/7000028', endLsn: '0/7000100' });
    assert.equal(choose([...all, dump, other]).reference, differential);
    const plan = choose([dump, other]);
    assert.equal(plan.type, 'full');
    assert.equal(plan.reference, undefined);
    assert.match(plan.instead ?? '', /no backup of this incarnation/);
    assert.match(choose([increment], { type: 'differential' }).instead ?? '', /no full backup/);
    assert.equal(choose([], { type: 'full' }).instead, undefined);
  });

  it('is the last one of this timeline’s past, as WAL has it and not as clocks had it', () => {
    assert.equal(choose([differential, full, increment]).reference, differential);
    assert.equal(choose(all, onSecond('0/5000000')).reference, increment);
    assert.equal(unfit(all, onSecond('0/5000000')), 'fit');
  });

  it('may lie elsewhere where nothing of the past is there: then contents are compared', () => {
    const plan = choose(all, onSecond('0/2000080'));
    assert.equal(plan.type, 'incremental');
    assert.equal(plan.reference, differential);
    assert.match(unfit(all, onSecond('0/2000080')), /timeline 2 does not come from where 3-differential ended/);
  });

  it('may not end behind where this one starts, as one of a primary does for a standby that lags', () => {
    assert.equal(choose(all, { startLsn: parseLsn('0/5000028') }).reference, increment);
    assert.match(unfit([full], { startLsn: parseLsn('0/2000040') }), /behind where/);
  });

  it('tells less where data checksums were switched since', () => {
    assert.equal(choose(all, { dataChecksums: false }).reference, differential);
    assert.match(unfit(all, { dataChecksums: false }), /switched off since 3-differential/);
  });
});
