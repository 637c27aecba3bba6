import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode, type PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, lsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import { commit, index } from '../../test/support/indexed-wal.ts';
import { identifier, mebibyte, nameOf, testArchive, walSegment } from '../../test/support/test-archive.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { WalBuilder, i64, u32 } from '../../test/support/wal-builder.ts';
import { planTargetIn } from './plan-target.ts';
import type { RestorePlan } from './restore-plan.ts';
import { parseTarget, type TargetOptions } from './target.ts';

/*
 * Segments of 1 MiB, one a minute: segment n has commits at n minutes and n minutes and a half past noon, of
 * transactions 700 and 701, unless a test says otherwise.
 */

const noon = 848_664_000_000_000n;
const at = (minutes: number): bigint => noon + BigInt(Math.round(minutes * 60_000_000));
const timeOf = (minutes: number): string => formatTimestamp(at(minutes));
const isoOf = (minutes: number): string =>
  new Date(Date.parse('2026-11-22T12:00:00Z') + minutes * 60_000).toISOString();

/** A backup that began at the start of a segment and ended in it, 16 KiB on. */
function backupIn(segment: number, changes: Partial<BackupRecord> = {}): BackupRecord {
  return backupRecord(`backup-${segment}`, {
    startLsn: formatLsn(lsn(segment * mebibyte + 0x28)),
    endLsn: formatLsn(lsn(segment * mebibyte + 0x4000)),
    startedAt: isoOf(segment - 0.2),
    checkpointedAt: isoOf(segment - 0.1),
    stoppedAt: isoOf(segment + 0.1),
    ...changes,
  });
}

interface Made {
  readonly backups: readonly BackupRecord[];
  readonly segments: readonly (readonly [number, Buffer])[];
  readonly histories?: readonly (readonly [string, string])[];
  readonly beginnings?: readonly (readonly [number, Buffer])[];
}

/** Segments from `first` to `last`; commits come after the 16 KiB that a backup may have. */
function segmentsFrom(first: number, last: number, onTimeline = 1): [number, Buffer][] {
  return Array.from({ length: last - first + 1 }, (_, i) => [first + i, segmentOf(first + i, onTimeline)]);
}

function segmentOf(
  number: number,
  onTimeline = 1,
  times: readonly bigint[] = [at(number), at(number + 0.5)],
  walLevels: readonly number[] = [],
): Buffer {
  const builder = new WalBuilder({
    startLsn: BigInt(number * mebibyte),
    segmentBytes: mebibyte,
    timeline: onTimeline,
    systemIdentifier: identifier,
  });
  builder.fillTo(0x8000);
  for (const [i, time] of times.entries()) commit(builder, number * 10 + i, time);
  for (const level of walLevels) {
    builder.record({ resourceManager: 0, info: 0x60, main: u32(100, 8, 10, 0, 64, level, 0) });
  }
  builder.fillTo(mebibyte - 32).filler(32);
  return builder.segment;
}

async function plan(made: Made, options: TargetOptions, named?: BackupRecord): Promise<RestorePlan> {
  const { store } = await testArchive();
  for (const [number, segment] of made.segments) {
    const onTimeline = segment.readUInt32LE(4);
    await store.putSegment(nameOf(number, onTimeline), segment);
  }
  for (const [number, bytes] of made.beginnings ?? []) await store.putPartial(nameOf(number), bytes);
  for (const [name, text] of made.histories ?? []) await store.putHistory(name, Buffer.from(text));
  return planTargetIn(store, { backups: made.backups, named, request: parseTarget(options) });
}

async function refusal(made: Made, options: TargetOptions, named?: BackupRecord): Promise<PgrecallError> {
  let error: unknown;
  await assert.rejects(plan(made, options, named), (thrown) => {
    error = thrown;
    return hasCode(thrown, 'target-unreachable');
  });
  return error as PgrecallError;
}

const two: Made = { backups: [backupIn(2), backupIn(6)], segments: segmentsFrom(2, 9) };

describe('the backup for a target', () => {
  const chosen: readonly (readonly [TargetOptions, string])[] = [
    [{}, 'backup-6'],
    [{ targetImmediate: true }, 'backup-6'],
    [{ targetTime: timeOf(8.2) }, 'backup-6'],
    [{ targetTime: timeOf(6.2) }, 'backup-6'],
    [{ targetTime: timeOf(5.7) }, 'backup-2'],
    [{ targetTime: timeOf(3.2) }, 'backup-2'],
    [{ targetXid: '80' }, 'backup-6'],
    [{ targetXid: '60' }, 'backup-6'],
    [{ targetXid: '51' }, 'backup-2'],
    [{ targetLsn: '0/700100' }, 'backup-6'],
    [{ targetLsn: '0/604000' }, 'backup-6'],
    [{ targetLsn: '0/600100' }, 'backup-2'],
    [{ targetLsn: '0/300100' }, 'backup-2'],
  ];
  for (const [options, expected] of chosen) {
    it(`is the newest that leads there: ${JSON.stringify(options)} from ${expected}`, async () => {
      assert.equal((await plan(two, options)).backup.id, expected);
    });
  }

  it('is the one that was named, where it leads there', async () => {
    const [older, newer] = two.backups;
    assert.equal((await plan(two, { targetTime: timeOf(8.2) }, older)).backup.id, 'backup-2');
    const error = await refusal(two, { targetTime: timeOf(3.2) }, newer);
    assert.match(error.message, /it lies before backup-6 began/);
  });

  it('is not one whose own WAL is missing', async () => {
    const segments = [...segmentsFrom(2, 5), ...segmentsFrom(7, 9)];
    const found = await plan({ ...two, segments }, {});
    assert.equal(found.backup.id, 'backup-2');
    assert.match(found.warnings.join(), /the archive has a gap after 0\/600000/);
  });

  it('may have bad pages, which is said', async () => {
    const backups = [backupIn(2, { badPages: [{ path: 'base/5/1259', blocks: [7] }] })];
    assert.match((await plan({ ...two, backups }, {})).warnings.join(), /checksums were wrong/);
  });

  it('is none where there is none', async () => {
    const error = await refusal({ ...two, backups: [] }, {});
    assert.match(error.message, /no backup of this cluster/);
    const logical = backupRecord('dump', { kind: 'logical', startLsn: '', endLsn: '' });
    await refusal({ ...two, backups: [logical] }, {});
  });
});

describe('WAL of a server whose wal_level was minimal for a while', () => {
  // behind the commits of segment 5: minimal, and replica once more
  const times = [at(5), at(5.5)];
  const segments = [...segmentsFrom(2, 4), [5, segmentOf(5, 1, times, [0, 1])] as const, ...segmentsFrom(6, 9)];
  const made: Made = { backups: [backupIn(2), backupIn(7)], segments };
  const [first] = made.backups;
  const made5 = index(new WalBuilder({ segmentBytes: mebibyte }), segmentOf(5, 1, times, [0, 1]));
  const barrier = made5.events.find(({ kind }) => kind === 'parameter-change')?.lsn ?? lsn(0n);
  const before = formatLsn(barrier);

  it('is recovered to what lies before it, and from a later backup', async () => {
    assert.equal((await plan(made, { targetTime: timeOf(5.2) })).backup.id, 'backup-2');
    assert.equal((await plan(made, { targetXid: '51' })).backup.id, 'backup-2');
    assert.equal((await plan(made, {})).backup.id, 'backup-7');
    assert.equal((await plan(made, { targetTime: timeOf(8.2) })).backup.id, 'backup-7');
    assert.equal((await plan(made, { targetImmediate: true }, first)).reachableLsn, barrier);
    const last = await plan(made, { targetLsn: before, targetExclusive: true });
    assert.deepEqual([last.backup.id, last.stop.kind === 'record' && last.stop.lsn], ['backup-2', barrier]);
  });

  const refused: readonly (readonly [TargetOptions, boolean])[] = [
    [{ targetTime: timeOf(5.5) }, false],
    [{ targetTime: timeOf(6.2) }, false],
    [{ targetXid: '60' }, false],
    [{ targetLsn: before }, false],
    [{ targetLsn: '0/600100' }, false],
    [{}, true],
    [{ targetTime: timeOf(8.2) }, true],
  ];
  for (const [options, isNamed] of refused) {
    it(`is refused, with the nearest moments: ${JSON.stringify(options)}`, async () => {
      const error = await refusal(made, options, isNamed ? first : undefined);
      assert.match(error.message, new RegExp(`wal_level was minimal from ${before} on`));
      assert.match(error.hint ?? '', new RegExp(`just before it, .*: --target-lsn ${before} --target-exclusive`));
      assert.equal(error.exitStatus, 4);
      if (!isNamed) assert.match(error.hint ?? '', /behind it from .* on: backup-7/);
    });
  }
});

describe('where recovery will stop', () => {
  const record = (number: number, place: 'first' | 'second', edge: 'lsn' | 'endLsn'): bigint => {
    const made = index(new WalBuilder({ segmentBytes: mebibyte }), segmentOf(number));
    return made.commits[place === 'first' ? 0 : 1]?.[edge] ?? 0n;
  };
  const stops: readonly (readonly [TargetOptions, bigint])[] = [
    [{ targetTime: timeOf(3.5) }, record(4, 'first', 'lsn')],
    [{ targetTime: timeOf(3.5), targetExclusive: true }, record(3, 'second', 'lsn')],
    [{ targetTime: timeOf(3.4) }, record(3, 'second', 'lsn')],
    [{ targetXid: '31' }, record(3, 'second', 'endLsn')],
    [{ targetXid: '31', targetExclusive: true }, record(3, 'second', 'lsn')],
    [{ targetLsn: formatLsn(lsn(record(3, 'second', 'lsn'))) }, record(3, 'second', 'endLsn')],
    [{ targetLsn: formatLsn(lsn(record(3, 'second', 'lsn'))), targetExclusive: true }, record(3, 'second', 'lsn')],
    [{ targetLsn: formatLsn(lsn(record(3, 'first', 'lsn') + 1n)), targetExclusive: true }, record(3, 'second', 'lsn')],
  ];
  for (const [options, expected] of stops) {
    it(`is known before: ${JSON.stringify(options)}`, async () => {
      const { stop } = await plan(two, options);
      assert.deepEqual(stop.kind === 'record' && [stop.lsn, stop.timeline], [expected, 1]);
    });
  }

  it('is after the restore point of that name', async () => {
    const named = walSegment(4, { commits: [at(4)], restorePoint: 'release' });
    const segments: [number, Buffer][] = [...segmentsFrom(2, 3), [4, named]];
    const made = index(new WalBuilder({ segmentBytes: mebibyte }), named);
    const { stop, backup } = await plan({ backups: [backupIn(2)], segments }, { targetName: 'release' });
    assert.equal(backup.id, 'backup-2');
    assert.equal(stop.kind === 'record' && stop.lsn, made.restorePoints[0]?.endLsn);
  });

  it('is found in a record that crosses into the next segment', async () => {
    const builder = new WalBuilder({
      startLsn: BigInt(2 * mebibyte),
      segmentBytes: mebibyte,
      systemIdentifier: identifier,
    });
    builder.fillTo(0x8000);
    builder.fillTo(mebibyte - 40);
    // 64 bytes of main data: the time lies behind the boundary.
    const crossing = builder.record({
      resourceManager: 1,
      info: 0,
      xid: 77,
      main: Buffer.concat([i64(at(2.5)), Buffer.alloc(56)]),
    });
    builder.fillTo(mebibyte - 32).filler(32);
    const [first, second] = builder.segments;
    assert.ok(first && second);
    const made: Made = {
      backups: [backupIn(2)],
      segments: [
        [2, first],
        [3, second],
        [4, segmentOf(4)],
      ],
    };
    for (const options of [{ targetXid: '77' }, { targetTime: timeOf(2.4) }]) {
      const { stop } = await plan(made, { ...options, targetExclusive: true });
      assert.equal(stop.kind === 'record' && stop.lsn, crossing, JSON.stringify(options));
    }
  });

  it('is by the order of WAL, not of clocks', async () => {
    const segments: [number, Buffer][] = [
      [2, segmentOf(2)],
      [3, segmentOf(3, 1, [at(3), at(9), at(3.1)])],
      [4, segmentOf(4)],
    ];
    const { stop } = await plan({ backups: [backupIn(2)], segments }, { targetTime: timeOf(3.5) });
    assert.equal(stop.kind === 'record' && stop.time, at(9));
  });
});

describe('a target that cannot be reached', () => {
  it('in time: after the last commit, with what is there', async () => {
    const error = await refusal(two, { targetTime: timeOf(9.6) });
    assert.equal(error.exitStatus, 4);
    assert.match(error.message, new RegExp(`the last transaction archived ended at ${escape(timeOf(9.5))}`));
    assert.equal(error.details['to'], timeOf(9.5));
    // The last commit itself can be the target only if it is to be left out.
    await refusal(two, { targetTime: timeOf(9.5) });
    await plan(two, { targetTime: timeOf(9.5), targetExclusive: true });
  });

  it('in time: before the first backup', async () => {
    const error = await refusal(two, { targetTime: timeOf(1.5) });
    assert.match(error.message, /it lies before backup-2 began/);
    assert.equal(error.details['from'], isoOf(2.1));
  });

  it('in time: between two backups, where WAL is missing', async () => {
    const segments = [...segmentsFrom(2, 3), ...segmentsFrom(6, 9)];
    const error = await refusal({ ...two, segments }, { targetTime: timeOf(4.2) });
    assert.match(error.message, new RegExp(`ended at ${escape(timeOf(3.5))}.*; it lies before backup-6 began`));
  });

  it('by position: beyond the end, in a gap, before the first backup', async () => {
    assert.match((await refusal(two, { targetLsn: '0/A00000' })).message, /ends at 0\/A00000/);
    const segments = [...segmentsFrom(2, 3), ...segmentsFrom(6, 9)];
    const inGap = await refusal({ ...two, segments }, { targetLsn: '0/500000' });
    assert.match(inGap.message, /ends at 0\/400000; it lies at 0\/[0-9A-F]+, before backup-6 is consistent/);
    const before = await refusal(two, { targetLsn: '0/100000' });
    assert.match(before.message, /before backup-2 is consistent \(0\/204000/);
    assert.deepEqual([before.details['from'], before.details['to']], ['0/204000', '0/A00000']);
  });

  it('by position: within the last record, after which none starts', async () => {
    const last = lsn(10 * mebibyte - 32);
    const { stop } = await plan(two, { targetLsn: formatLsn(last) });
    assert.equal(stop.kind === 'record' && stop.lsn, BigInt(10 * mebibyte));
    await refusal(two, { targetLsn: formatLsn(lsn(last + 8n)) });
  });

  it('by transaction and by name, with those that there are', async () => {
    assert.match((await refusal(two, { targetXid: '4000' })).message, /no transaction 4000 ended/);
    const none = await refusal(two, { targetName: 'release' });
    assert.match(none.hint ?? '', /no restore points at all/);
    const segments: [number, Buffer][] = [...segmentsFrom(2, 8), [9, walSegment(9, { restorePoint: 'release 2' })]];
    const others = await refusal({ ...two, segments }, { targetName: 'release' });
    assert.match(others.hint ?? '', /restore points there are: "release 2"/);
  });

  it('on a timeline that is not archived', async () => {
    assert.match((await refusal(two, { targetTimeline: '7' })).message, /timeline 7/);
    const made = { ...two, histories: [['00000003.history', '2\t0/100000\treason\n']] as const };
    assert.match((await refusal(made, { targetTimeline: '3' })).message, /no backup lies on the way to timeline 3/);
  });

  it('while no backup can become consistent', async () => {
    const error = await refusal({ ...two, segments: segmentsFrom(7, 9) }, {});
    assert.match(error.message, /the WAL that the backups themselves need is missing/);
    assert.match(error.hint ?? '', /backup-6 needs 0\/600028 to 0\/604000, archived until 0\/600028/);
  });

  it('because commits between checkpoint and target are in the backup already', async () => {
    // One that was copied for ten minutes: what it holds is as of its start, and WAL says what came later.
    const backups = [backupIn(4, { stoppedAt: isoOf(14) })];
    const made = { backups, segments: segmentsFrom(4, 9) };
    assert.equal((await plan(made, { targetTime: timeOf(4.2) })).backup.id, 'backup-4');
    await refusal(made, { targetTime: timeOf(3.8) });
    // A record of an older pgrecall does not say when: then only what came after its end is certain.
    const { checkpointedAt: _, ...older } = backupIn(4);
    await refusal({ ...made, backups: [older] }, { targetTime: timeOf(4.05) });
    await plan({ ...made, backups: [older] }, { targetTime: timeOf(4.2) });
  });
});

describe('a target after an earlier recovery', () => {
  // Timeline 2 left timeline 1 in the middle of segment 5, after its first commit; both went on.
  const switchLsn = lsn(5 * mebibyte + 0x8000 + 0x1000);
  const shared = new WalBuilder({
    startLsn: BigInt(5 * mebibyte),
    segmentBytes: mebibyte,
    timeline: 2,
    systemIdentifier: identifier,
  });
  shared.fillTo(0x8000);
  commit(shared, 50, at(5));
  shared.fillTo(0x9000);
  commit(shared, 90, at(20));
  shared.fillTo(mebibyte - 32).filler(32);
  const made: Made = {
    backups: [backupIn(2)],
    segments: [...segmentsFrom(2, 7), [5, shared.segment], [6, segmentOf(6, 2, [at(21), at(22)])]],
    histories: [['00000002.history', `1\t${formatLsn(switchLsn)}\tbefore the disaster\n`]],
  };

  it('lies on the newest timeline', async () => {
    const { timeline, stop } = await plan(made, { targetTime: timeOf(20.5) });
    assert.equal(timeline, 2);
    assert.deepEqual(stop.kind === 'record' && [stop.time, stop.timeline], [at(21), 2]);
  });

  it('is found in what the new timeline has copied of the old one', async () => {
    const { stop } = await plan(made, { targetXid: '50' });
    assert.deepEqual(stop.kind === 'record' && [stop.time, stop.timeline], [at(5), 1]);
  });

  it('warns where the moment may lie on the timeline that was left', async () => {
    const { stop, warnings } = await plan(made, { targetTime: timeOf(6.2) });
    assert.equal(stop.kind === 'record' && stop.time, at(20));
    assert.match(warnings.join(), /--target-timeline 1/);
  });

  it('is found there when that timeline is named', async () => {
    const { stop, warnings, timeline } = await plan(made, { targetTime: timeOf(6.2), targetTimeline: '1' });
    assert.equal(timeline, 1);
    assert.equal(stop.kind === 'record' && stop.time, at(6.5));
    assert.deepEqual(warnings, []);
  });

  it('is looked for in the beginning of a segment as well', async () => {
    const beginning = Buffer.alloc(mebibyte);
    segmentOf(8).copy(beginning, 0, 0, 0x9000);
    const { stop } = await plan(
      { backups: [backupIn(2)], segments: segmentsFrom(2, 7), beginnings: [[8, beginning]] },
      { targetXid: '81' },
    );
    assert.equal(stop.kind === 'record' && stop.time, at(8.5));
  });
});

function escape(text: string): string {
  return text.replaceAll(/[.+]/g, '\\$&');
}
