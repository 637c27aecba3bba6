import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { commit } from '../../test/support/indexed-wal.ts';
import { identifier, mebibyte, nameOf, testArchive } from '../../test/support/test-archive.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { WalBuilder } from '../../test/support/wal-builder.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { planTargetIn } from './plan-target.ts';
import type { RestorePlan } from './restore-plan.ts';
import { parseTarget, type TargetOptions } from './target.ts';

/*
 * Segment 2: transactions 700 and 701, then the checkpoint with which the server was shut down; then, where it was started
 * again, transactions 702 and 703, a minute apart.
 */

const noon = 848_664_000_000_000n;
const at = (minutes: number): bigint => noon + BigInt(minutes * 60_000_000);
const timeOf = (minutes: number): string => formatTimestamp(at(minutes));

interface Written {
  /** Of the commits, and of the checkpoint. */
  readonly lsns: Readonly<Record<'700' | '701' | 'checkpoint' | '702' | '703', Lsn>>;
  readonly checkpointEndLsn: Lsn;
  readonly segment: Buffer;
}

function written(): Written {
  const builder = new WalBuilder({
    startLsn: BigInt(2 * mebibyte),
    segmentBytes: mebibyte,
    systemIdentifier: identifier,
  });
  // Its timeline, and the one before it (CheckPoint of pg_control.h).
  const checkpoint = Buffer.alloc(88);
  checkpoint.writeUInt32LE(1, 8);
  checkpoint.writeUInt32LE(1, 12);
  const lsns = {
    '700': commit(builder, 700, at(0)),
    '701': commit(builder, 701, at(1)),
    checkpoint: builder.record({ resourceManager: 0, info: 0, main: checkpoint }),
  };
  const checkpointEndLsn = builder.lsn;
  const later = { '702': commit(builder, 702, at(2)), '703': commit(builder, 703, at(3)) };
  builder.fillTo(mebibyte - 32).filler(32);
  return { lsns: { ...lsns, ...later }, checkpointEndLsn, segment: builder.segment };
}

const wal = written();

function cold(changes: Partial<BackupRecord> = {}): BackupRecord {
  return backupRecord('cold', {
    temperature: 'cold',
    startLsn: formatLsn(wal.lsns.checkpoint),
    checkpointLsn: formatLsn(wal.lsns.checkpoint),
    endLsn: formatLsn(wal.checkpointEndLsn),
    walLevel: 'replica',
    startedAt: '2026-11-22T12:01:20.000Z',
    checkpointedAt: '2026-11-22T12:01:10.000Z',
    stoppedAt: '2026-11-22T12:01:30.000Z',
    ...changes,
  });
}

/** As a crash after transaction 701 leaves it: the last checkpoint was before 700. */
function crashed(): BackupRecord {
  return cold({
    startLsn: formatLsn(wal.lsns['700']),
    endLsn: formatLsn(wal.lsns.checkpoint),
    checkpointedAt: '2026-11-22T11:59:00.000Z',
  });
}

async function plan(backup: BackupRecord, options: TargetOptions, wentOn = true): Promise<RestorePlan> {
  const { store } = await testArchive();
  if (wentOn) await store.putSegment(nameOf(2), wal.segment);
  else {
    const end = BigInt(`0x${backup.endLsn.slice(2)}`);
    await store.putPartial(nameOf(2), wal.segment.subarray(0, Number(end) - 2 * mebibyte));
  }
  return planTargetIn(store, { backups: [backup], named: undefined, request: parseTarget(options) });
}

async function refused(planning: Promise<unknown>, pattern: RegExp): Promise<void> {
  await assert.rejects(planning, (error) => {
    assert.ok(hasCode(error, 'target-unreachable'), String(error));
    assert.match(error.message, pattern);
    return true;
  });
}

describe('a cold backup behind which nothing is archived', () => {
  it('is started as the cluster was', async () => {
    for (const options of [{}, { targetImmediate: true }]) {
      for (const backup of [cold(), crashed(), cold({ walLevel: 'minimal' })]) {
        const found = await plan(backup, options, false);
        assert.equal(found.startsAsItWas, true);
        assert.deepEqual([found.request.target.kind, found.stop.kind, found.warnings], ['latest', 'end', []]);
      }
    }
  });

  it('gets a timeline of its own where it was taken of a standby', async () => {
    for (const options of [{}, { targetImmediate: true }]) {
      const found = await plan(cold({ fromStandby: true }), options, false);
      assert.equal(found.startsAsItWas, undefined);
      assert.equal(found.request.target.kind, 'latest');
    }
  });

  it('leads to no target', async () => {
    await refused(plan(cold(), { targetTime: timeOf(2) }, false), /no transaction is archived after the backup/);
    await refused(plan(cold(), { targetXid: '702' }, false), /no transaction 702/);
  });
});

describe('a cold backup behind which the server went on', () => {
  it('is recovered to the end, or to where it is consistent', async () => {
    assert.equal((await plan(cold(), {})).startsAsItWas, undefined);
    const immediate = await plan(cold(), { targetImmediate: true });
    assert.deepEqual([immediate.startsAsItWas, immediate.stop.kind], [undefined, 'consistent']);
  });

  it('leads to every target behind it', async () => {
    const found = async (options: TargetOptions): Promise<bigint | string> => {
      const { stop } = await plan(cold(), options);
      return stop.kind === 'record' ? stop.lsn : stop.kind;
    };
    const { lsns, checkpointEndLsn } = wal;
    assert.equal(await found({ targetTime: timeOf(2) }), lsns['703']);
    assert.equal(await found({ targetTime: timeOf(1.5) }), lsns['702']);
    assert.equal(await found({ targetXid: '702' }), lsns['703']);
    assert.equal(await found({ targetXid: '702', targetExclusive: true }), checkpointEndLsn);
    assert.equal(await found({ targetLsn: formatLsn(checkpointEndLsn) }), lsns['703']);
    assert.equal(await found({ targetLsn: formatLsn(lsns['703']), targetExclusive: true }), lsns['703']);
  });

  it('leads to none that lies in it or before it', async () => {
    const { lsns } = wal;
    for (const backup of [cold(), crashed()]) {
      await refused(plan(backup, { targetLsn: '0/10' }), /before cold is consistent/);
      await refused(plan(backup, { targetTime: timeOf(0.5) }), /before cold (began|is consistent)/);
    }
    await refused(plan(cold(), { targetLsn: formatLsn(lsns.checkpoint) }), /before cold is consistent/);
    await refused(plan(cold(), { targetXid: '701' }), /no transaction 701/);
    // Its commit is the last that PostgreSQL replays before targets count.
    await refused(plan(crashed(), { targetXid: '701' }), /before cold is consistent/);
    await refused(plan(crashed(), { targetXid: '700' }), /before cold is consistent/);
    assert.equal((await plan(crashed(), { targetXid: '702' })).backup.id, 'cold');
  });

  it('is started as it was where PostgreSQL replays nothing behind it', async () => {
    const minimal = cold({ walLevel: 'minimal' });
    const found = await plan(minimal, {});
    assert.equal(found.startsAsItWas, true);
    assert.match(found.warnings.join(), /wal_level = minimal/);
    await refused(plan(minimal, { targetXid: '702' }), /wal_level = minimal/);
  });
});
