import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  dayMs,
  lsnAgo,
  madeBackup,
  nowMs,
  plan,
  policy,
  presentLife,
  segmentAgo,
  type MadeBackup,
  type Policy,
} from '../../test/support/retention.ts';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { mebibyte } from '../../test/support/test-archive.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Life } from './recovery-window.ts';
import { planWalExpiry, type WalExpiryInput, type WalExpiryPlan } from './wal-expiry-plan.ts';

const made = (...all: readonly (number | MadeBackup)[]): BackupRecord[] =>
  all.map((one) => madeBackup(typeof one === 'number' ? { ago: one } : one));

function walPlan(
  backups: readonly BackupRecord[],
  rules: Policy,
  changes: Partial<WalExpiryInput> & { readonly lives?: readonly Life[] } = {},
): WalExpiryPlan {
  const { life = presentLife() } = changes;
  const { lives = [life] } = changes;
  const { verdicts, windowFromMs } = plan(backups, rules, { force: true, lives });
  return planWalExpiry({ life, verdicts, settings: policy(rules), windowFromMs, backupRuns: false, ...changes });
}

/** What stays, in days before now; `undefined` for whatever comes. */
function kept(expiry: WalExpiryPlan, on = 1): (readonly [number, number | undefined])[] {
  assert.equal(expiry.untouched, undefined);
  const ago = (segment: bigint): number => Math.round((1000 - Number(segment) / 64) * 100) / 100;
  return (expiry.kept?.get(timeline(on)) ?? []).map(({ first, last }) => [
    ago(first),
    last === undefined ? undefined : ago(last + 1n),
  ]);
}

describe('WAL that stays', () => {
  it('is all of it where no rule says otherwise', () => {
    assert.match(walPlan(made(30, 1), {}).untouched ?? '', /there is no rule/);
    assert.match(walPlan(made(30, 1), { dumps: 2 }).untouched ?? '', /there is no rule/);
  });

  it('is all of it where there is no backup: the first one may be running', () => {
    assert.match(walPlan([], { full: 2 }).untouched ?? '', /there is no backup/);
    assert.match(walPlan(made({ ago: 3, kind: 'logical' }), { full: 2 }).untouched ?? '', /there is no backup/);
  });

  it('is what comes after the oldest backup that a rule keeps', () => {
    assert.deepEqual(kept(walPlan(made(30, 20, 10, 1), { full: 2 })), [[10.06, undefined]]);
    assert.deepEqual(kept(walPlan(made(30, 20, 10, 1), { full: 2, walDays: 'all' })), [[10.06, undefined]]);
    assert.deepEqual(kept(walPlan(made(30, 20, 10, 1), { full: 1, periods: { monthly: 9 } })), [[30.06, undefined]]);
  });

  it('is what a marked backup needs for itself, and no more', () => {
    const backups = made({ ago: 300, keep: true }, 20, 10, 1);
    assert.deepEqual(kept(walPlan(backups, { full: 1 })), [
      [300.06, 300],
      [1.06, undefined],
    ]);
  });

  it('is what the recovery window needs; before it, what each backup needs for itself', () => {
    const backups = made(300, 30, 20, 10, 1);
    assert.deepEqual(kept(walPlan(backups, { full: 3, walDays: 7, periods: { yearly: 2 } })), [
      [20.06, 20],
      [10.06, undefined],
    ]);
    assert.deepEqual(kept(walPlan(backups, { full: 4, walDays: 0.5 })), [
      [30.06, 30],
      [20.06, 20],
      [10.06, 10],
      [1.06, undefined],
    ]);
    assert.deepEqual(kept(walPlan(backups, { walDays: 25 })), [
      [300.06, 300],
      [30.06, undefined],
    ]);
  });

  it('is as long as the ages of backups unless said otherwise', () => {
    assert.deepEqual(kept(walPlan(made(40, 20, 10, 1), { forDays: 15 })), [[20.06, undefined]]);
  });

  it('is what comes after the newest backup, and after the newest good one, however bad that may be', () => {
    const backups = made(40, 30, { ago: 20, bad: true }, { ago: 10, bad: true });
    assert.deepEqual(kept(walPlan(backups, { full: 1, walDays: 1 })), [[30.06, undefined]]);
  });

  it('is that of timelines that come from a backup of the window, and of those that may', () => {
    const at = (ago: number, on: number): MadeBackup => ({ ago, timeline: on });
    const from = (of: number, ago: number) => [{ timeline: timeline(of), switchLsn: lsn(lsnAgo(ago)), reason: '' }];
    const life = presentLife({
      timelines: ([25, 39, 15, 0, 0] as const).map((ago, i) => ({
        timeline: timeline(i + 1),
        lastCommitMs: nowMs - ago * dayMs,
      })),
      histories: new Map([
        [timeline(2), { timeline: timeline(2), parents: from(1, 40) }],
        [timeline(3), { timeline: timeline(3), parents: from(1, 25) }],
        [timeline(4), { timeline: timeline(4), parents: [...from(1, 25), ...from(3, 15)] }],
      ]),
    });
    const backups = made(at(50, 1), at(30, 1), at(20, 3), at(10, 4), at(1, 4));
    const ofOne = walPlan(backups, { full: 1, walDays: 5 }, { life });
    assert.deepEqual(kept(ofOne, 4), [[10.06, undefined]]);
    assert.deepEqual(
      [1, 2, 3].flatMap((on) => kept(ofOne, on)),
      [],
    );
    assert.deepEqual(kept(ofOne, 5), [[1000, undefined]], 'its history is missing: it may come from it');
    assert.ok(ofOne.untouched === undefined);
    assert.deepEqual(ofOne.forgotten, [2], '1 and 3 are on the way to 4');
    const ofMore = walPlan(backups, { full: 1, walDays: 25 }, { life });
    assert.deepEqual(kept(ofMore, 1), [[30.06, undefined]]);
    assert.deepEqual(kept(ofMore, 2), [], 'left before');
    assert.deepEqual(kept(ofMore, 3), [[1000, undefined]]);
    assert.deepEqual(kept(ofMore, 4), [[1000, undefined]]);
  });

  it('is that of an incarnation of before only as long as a backup of it, or the window, needs it', () => {
    const life = presentLife({ endedMs: nowMs - 8 * dayMs });
    const next = presentLife({ incarnation: 2 });
    const lives = [life, next];
    const backups = made(30, 20, { ago: 9, keep: true }, { ago: 7, incarnation: 2 }, { ago: 1, incarnation: 2 });
    assert.deepEqual(kept(walPlan(backups, { full: 2, walDays: 5 }, { life, lives })), [[9.06, 9]]);
    assert.deepEqual(kept(walPlan(backups, { full: 2, walDays: 8.5 }, { life, lives })), [[9.06, undefined]]);
    const unmarked = backups.map((one) => ({ ...one, keep: false }));
    assert.deepEqual(kept(walPlan(unmarked, { full: 2, walDays: 5 }, { life, lives })), []);
    assert.deepEqual(kept(walPlan(unmarked, { full: 2, walDays: 5 }, { life: next, lives })), [[7.06, undefined]]);
  });

  it('is more while a backup is running: what it needs no record names yet', () => {
    const backups = made(30, 20, { ago: 10, timeline: 2 });
    const life = presentLife({
      timelines: [1, 2, 3].map((of) => ({ timeline: timeline(of), lastCommitMs: nowMs - 9 * dayMs })),
      histories: new Map([
        [
          timeline(2),
          { timeline: timeline(2), parents: [{ timeline: timeline(1), switchLsn: lsn(lsnAgo(15)), reason: '' }] },
        ],
      ]),
    });
    const rules: Policy = { full: 1, walDays: 1 };
    assert.deepEqual(kept(walPlan(backups, rules, { life })), []);
    assert.deepEqual(kept(walPlan(backups, rules, { life, backupRuns: true })), [[1000, undefined]]);
    const withOne = made(30, { ago: 20, keep: true }, { ago: 10, timeline: 2 });
    assert.deepEqual(kept(walPlan(withOne, rules, { life })), [[20.06, 20]]);
    assert.deepEqual(kept(walPlan(withOne, rules, { life, backupRuns: true })), [[20.06, undefined]]);
  });

  it('is all of it where a backup does not say where it begins', () => {
    const [first, second] = made(20, 1) as [BackupRecord, BackupRecord];
    const cold = { ...second, startSegment: '', stopSegment: '' };
    assert.deepEqual(kept(walPlan([first, cold], { full: 1 })), [[1.06, undefined]], 'a cold one has a position');
    const nowhere = { ...cold, startLsn: '', endLsn: '' };
    assert.match(walPlan([first, nowhere], { full: 1 }).untouched ?? '', /where .* begins in WAL is not known/);
  });
});

const count = fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined });
const backups = fc
  .uniqueArray(
    fc.record({
      ago: fc.integer({ min: 1, max: 4000 }).map((tenth) => tenth / 10),
      type: fc.constantFrom('full', 'incremental'),
      keep: fc.constantFrom(false, false, true),
      bad: fc.constantFrom(false, false, true),
    } as const),
    { minLength: 1, maxLength: 20, selector: ({ ago }) => ago },
  )
  .map((all) => made(...all.toSorted((a, b) => b.ago - a.ago)));
const rules: fc.Arbitrary<Policy> = fc
  .record({
    full: count,
    incremental: count,
    forDays: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }),
    walDays: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constant('all' as const), fc.constant(undefined)),
    periods: fc.record({ daily: count, monthly: count }),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));

function covers(expiry: WalExpiryPlan, first: bigint, last: bigint | undefined): boolean {
  if (expiry.untouched !== undefined) return true;
  return (expiry.kept.get(timeline(1)) ?? []).some(
    (range) => range.first <= first && (range.last === undefined || (last !== undefined && range.last >= last)),
  );
}

describe('whatever the rules and the backups', () => {
  it('no backup that stays lacks WAL, and every moment of the window can still be recovered', () => {
    fc.assert(
      fc.property(backups, rules, (all, made_) => {
        const { verdicts, windowFromMs } = plan(all, made_, { force: true });
        const expiry = walPlan(all, made_);
        const left = verdicts.filter(({ stays }) => stays).map(({ backup }) => backup);
        for (const { startLsn, endLsn } of left) {
          const [first, last] = [startLsn, endLsn].map((text) => {
            const [high = '', low = ''] = text.split('/');
            return ((BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`)) / BigInt(mebibyte);
          }) as [bigint, bigint];
          assert.ok(covers(expiry, first, last - 1n > first ? last - 1n : first));
        }
        // What reached the beginning of the window before does so after, or something newer does.
        const fromMs = windowFromMs ?? -Infinity;
        const ended = ({ stoppedAt }: BackupRecord): number => Date.parse(stoppedAt);
        const good = (some: readonly BackupRecord[]): BackupRecord[] =>
          some.filter(({ badPages }) => badPages.length === 0);
        const before = good(all).findLast((backup) => ended(backup) <= fromMs);
        const after = good(left).findLast((backup) => ended(backup) <= fromMs);
        assert.equal(after?.id, before?.id);
        const opening = after ?? left.find((backup) => ended(backup) > fromMs && !backup.keep);
        const newest = left.at(-1);
        for (const one of [opening, newest]) {
          const ago = one && (nowMs - Date.parse(one.startedAt)) / dayMs;
          if (ago !== undefined && (windowFromMs !== undefined || one === newest)) {
            assert.ok(covers(expiry, segmentAgo(ago), undefined));
          }
        }
      }),
    );
  });

  it('nothing stays before the oldest backup that stays', () => {
    fc.assert(
      fc.property(backups, rules, (all, made_) => {
        const expiry = walPlan(all, made_);
        if (expiry.untouched !== undefined) return;
        const { verdicts } = plan(all, made_, { force: true });
        const oldest = verdicts.find(({ stays }) => stays)?.backup;
        const [first] = expiry.kept.get(timeline(1)) ?? [];
        assert.ok(oldest && first);
        assert.ok(first.first >= segmentAgo((nowMs - Date.parse(oldest.startedAt)) / dayMs));
      }),
    );
  });
});
