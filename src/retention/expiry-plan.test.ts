import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  dayMs,
  lsnAgo,
  madeBackup,
  nowMs,
  plan,
  presentLife,
  staying,
  type MadeBackup,
  type Policy,
} from '../../test/support/retention.ts';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

const made = (...all: readonly (number | MadeBackup)[]): BackupRecord[] =>
  all.map((one) => madeBackup(typeof one === 'number' ? { ago: one } : one));

const incremental = (...all: readonly number[]): MadeBackup[] => all.map((ago) => ({ ago, type: 'incremental' }));
const differential = (...all: readonly number[]): MadeBackup[] => all.map((ago) => ({ ago, type: 'differential' }));
const dump = (...all: readonly number[]): MadeBackup[] => all.map((ago) => ({ ago, kind: 'logical' }));

/** Why a backup stays, by rule. */
function rulesOf(backups: readonly BackupRecord[], rules: Policy, ago: number): string[] {
  const verdict = plan(backups, rules).verdicts.find(
    ({ backup }) => Math.abs(nowMs - ago * dayMs - Date.parse(backup.stoppedAt)) < 1000,
  );
  return verdict?.stays === true ? verdict.reasons.map(({ rule }) => rule) : [];
}

describe('what an administrator keeps', () => {
  it('is everything where no rule is given', () => {
    const backups = made(900, 30, ...incremental(20, 10), ...dump(400), 1);
    assert.equal(staying(plan(backups, {})).length, backups.length);
    assert.equal(staying(plan(backups, { walDays: 7 })).length, backups.length);
  });

  it('is the newest full backups, and what was taken after each of them', () => {
    const week = (ago: number): MadeBackup[] => [
      { ago },
      ...incremental(ago - 1, ago - 2),
      ...differential(ago - 3),
      ...incremental(ago - 4),
    ];
    const backups = made(...week(28), ...week(21), ...week(14), ...week(7));
    assert.deepEqual(staying(plan(backups, { full: 2 })), [14, 13, 12, 11, 10, 7, 6, 5, 4, 3]);
    assert.deepEqual(staying(plan(backups, { full: 1 })), [7, 6, 5, 4, 3]);
    assert.equal(staying(plan(backups, { full: 4 })).length, backups.length);
  });

  it('is differentials by their own count, and the increments after those', () => {
    const week = (ago: number): MadeBackup[] => [
      { ago },
      ...incremental(ago - 1),
      ...differential(ago - 2),
      ...incremental(ago - 3),
      ...differential(ago - 4),
    ];
    const backups = made(...week(21), ...week(14), ...week(7));
    assert.deepEqual(staying(plan(backups, { full: 2, differential: 1 })), [14, 13, 7, 6, 3]);
    assert.deepEqual(staying(plan(backups, { full: 1, differential: 3 })), [10, 7, 6, 5, 4, 3]);
    assert.deepEqual(staying(plan(backups, { full: 1, differential: 1, incremental: 1 })), [7, 4, 3]);
    assert.deepEqual(
      staying(plan(backups, { differential: 1 })),
      [21, 20, 14, 13, 7, 6, 3],
      'for full ones there is no rule',
    );
  });

  it('is what is young enough', () => {
    const backups = made(40, 31, 29.9, 29, ...incremental(15), 1);
    assert.deepEqual(
      staying(plan(backups, { forDays: 30 })),
      [31, 29.9, 29, 15, 1],
      '30 days back, a backup leads from 31',
    );
    assert.deepEqual(staying(plan(backups, { forDays: 30, walDays: 7 })), [29.9, 29, 15, 1]);
  });

  it('is the last of each hour, day, week, month and year that has one', () => {
    const hours = [70, 50, 49, 26, 25, 3, 2.5, 2, 1].map((ago) => ago / 24);
    const back = (rules: Policy): number[] =>
      staying(plan(made(...hours), rules)).map((ago) => Math.round(ago * 24 * 10) / 10);
    assert.deepEqual(back({ periods: { hourly: 3 } }), [2.5, 2, 1]);
    assert.deepEqual(back({ periods: { daily: 2 } }), [25, 1]);
    assert.deepEqual(back({ periods: { daily: 99 } }), [70, 49, 25, 1]);
    assert.deepEqual(back({ periods: { weekly: 99 } }), [25, 1], 'Sunday, Monday');
    assert.deepEqual(back({ periods: { monthly: 99 } }), [1]);
    const years = made(800, 700, 400, 330, 300, 20, 2);
    assert.deepEqual(staying(plan(years, { periods: { yearly: 2 } })), [330, 2]);
    assert.deepEqual(
      staying(plan(years, { periods: { monthly: 3 } })),
      [330, 300, 2].toSorted((a, b) => b - a),
    );
  });

  it('is the last of the days of its own time zone', () => {
    const backups = made(...[14, 10, 2].map((ago) => ago / 24));
    const back = (hours: number): number =>
      staying(plan(backups, { periods: { daily: 9 } }, { localOffset: () => hours * 3_600_000 })).length;
    assert.equal(back(0), 2, 'yesterday at 22:00; today at 2:00 and at 10:00');
    assert.equal(back(9), 1, 'all three are on one day in Seoul');
    assert.equal(back(-5), 2);
  });

  it('is one without bad pages in a period, where there is one', () => {
    const backups = made(50, 40.3, { ago: 40.2, bad: true }, { ago: 30, bad: true }, 1);
    assert.deepEqual(staying(plan(backups, { periods: { daily: 4 } })), [50, 40.3, 30, 1]);
  });

  it('is what any of the rules keeps, each counted by itself', () => {
    const backups = made(400, 100, 50, 40, 3, 2, 1);
    assert.deepEqual(
      staying(plan(backups, { full: 2, forDays: 45, walDays: 1, periods: { yearly: 2 } })),
      [400, 40, 3, 2, 1],
    );
    assert.deepEqual(rulesOf(backups, { full: 2, forDays: 45, walDays: 0 }, 1), [
      'keep_full',
      'keep_for',
      'keep_wal',
      'newest',
    ]);
  });

  it('is what is marked, whatever the rules say; and only that', () => {
    const backups = made({ ago: 300, keep: true }, ...incremental(299), 20, 10, 1);
    assert.deepEqual(staying(plan(backups, { full: 1 })), [300, 1]);
  });

  it('is dumps by their own rules', () => {
    const backups = made(30, ...dump(29, 20, 10, 2), 1);
    assert.deepEqual(staying(plan(backups, { full: 1 })), [29, 20, 10, 2, 1]);
    assert.deepEqual(staying(plan(backups, { dumps: 2 })), [30, 10, 2, 1]);
    assert.deepEqual(staying(plan(backups, { dumpsForDays: 15, full: 1 })), [10, 2, 1]);
    assert.deepEqual(staying(plan(backups, { dumpPeriods: { monthly: 9 }, full: 9 })), [30, 29, 2, 1]);
  });

  it('is dumps of each set of databases by itself: one of another database pushes none out', () => {
    const of = (databases: readonly string[], ...all: readonly number[]): MadeBackup[] =>
      all.map((ago) => ({ ago, kind: 'logical', databases }));
    const backups = made(
      ...of(['shop'], 30, 29, 28),
      ...of(['blog'], 20),
      { ago: 19, kind: 'logical', databases: ['shop'], schemaOnly: true },
      ...of(['blog', 'shop'], 18, 17),
      ...of(['shop', 'blog'], 16),
      ...of(['shop'], 5),
    );
    assert.deepEqual(staying(plan(backups, { dumps: 1 })), [20, 19, 16, 5]);
    assert.deepEqual(staying(plan(backups, { dumps: 2 })), [28, 20, 19, 17, 16, 5]);
    assert.deepEqual(
      staying(plan(backups, { dumpsForDays: 1 }, { force: true })),
      [20, 19, 16, 5],
      'the newest of each goes by no rule',
    );
    assert.deepEqual(staying(plan(backups, { dumpPeriods: { yearly: 1 } })), [20, 19, 16, 5]);
  });

  it('is a backup from which the beginning of the recovery window is reached', () => {
    const backups = made(28, 21, 14, 7, ...incremental(6, 5, 4), 0.5);
    assert.deepEqual(staying(plan(backups, { full: 1, walDays: 7 })), [7, 0.5]);
    assert.deepEqual(
      staying(plan(backups, { full: 1, walDays: 5.5 })),
      [6, 0.5],
      'an increment will do: it restores like a full one',
    );
    assert.deepEqual(staying(plan(backups, { full: 1, walDays: 6.5 })), [7, 0.5]);
    assert.deepEqual(staying(plan(backups, { full: 1, walDays: 100 })), [0.5], 'none leads there');
    const bad = made(28, 21, { ago: 14, bad: true }, 0.5);
    assert.deepEqual(staying(plan(bad, { full: 1, walDays: 7 })), [21, 0.5], 'not one with bad pages');
    const lacking = made(28, 21, 14, 0.5);
    const lackWal = new Set([lacking[2]?.id ?? '']);
    assert.deepEqual(
      staying(plan(lacking, { full: 1, walDays: 7 }, { lackWal })),
      [21, 0.5],
      'not one without its WAL',
    );
  });

  it('is such a backup for each timeline that was written within the window', () => {
    const at = (ago: number, on: number): MadeBackup => ({ ago, timeline: on });
    const backups = made(at(30, 1), at(20, 1), at(10, 1), at(9, 2), at(1, 3));
    const history = (...parents: readonly (readonly [number, number])[]) =>
      parents.map(([of, ago]) => ({ timeline: timeline(of), switchLsn: lsn(lsnAgo(ago)), reason: '' }));
    const life = (twoLastDaysAgo: number) =>
      presentLife({
        timelines: [
          { timeline: timeline(1), lastCommitMs: nowMs - 9.5 * dayMs },
          { timeline: timeline(2), lastCommitMs: nowMs - twoLastDaysAgo * dayMs },
          { timeline: timeline(3), lastCommitMs: nowMs },
        ],
        // Timeline 3 left timeline 1 before its last backup, timeline 2 after that.
        histories: new Map([
          [timeline(2), { timeline: timeline(2), parents: history([1, 9.5]) }],
          [timeline(3), { timeline: timeline(3), parents: history([1, 15]) }],
        ]),
      });
    assert.deepEqual(staying(plan(backups, { full: 1, walDays: 5 }, { lives: [life(8)] })), [20, 1]);
    assert.deepEqual(staying(plan(backups, { full: 1, walDays: 5 }, { lives: [life(4)] })), [20, 9, 1]);
  });
});

describe('what never goes by a rule', () => {
  it('is the newest backup, and the newest that is known to be good', () => {
    const backups = made(30, 20, { ago: 10, bad: true }, { ago: 5, bad: true });
    assert.deepEqual(staying(plan(backups, { full: 1 })), [20, 5]);
    assert.deepEqual(staying(plan(backups, { forDays: 1 }, { force: true })), [20, 5]);
    const lackWal = new Set([backups[1]?.id ?? '']);
    assert.deepEqual(staying(plan(backups, { full: 1 }, { lackWal })), [30, 5]);
  });

  it('is the last in WAL where a clock that was set back makes it look older', () => {
    const backups = made(30, 20, 10);
    const [first, second, third] = backups as [BackupRecord, BackupRecord, BackupRecord];
    const setBack = [first, second, { ...third, stoppedAt: first.stoppedAt, id: '20260101T000000Z-full' }];
    const left = plan(setBack, { full: 1 })
      .verdicts.filter((one) => one.stays)
      .map(({ backup }) => backup.id);
    assert.deepEqual(left, [second.id, '20260101T000000Z-full']);
  });

  it('is what cannot be judged', () => {
    const backups = made(30, 20, 1).map((one, i) => (i === 0 ? { ...one, stoppedAt: 'once' } : one));
    const verdicts = plan(backups, { full: 1 }).verdicts;
    assert.deepEqual(
      verdicts.map(({ stays }) => stays),
      [true, false, true],
    );
  });
});

describe('a clock that is wrong', () => {
  const daily = made(...Array.from({ length: 20 }, (_, i) => 20 - i));
  const at = (rules: Policy, days: number, backups = daily, force = false): number[] =>
    staying(plan(backups, rules, { nowMs: nowMs + days * dayMs, force }));

  it('is noticed by backups from the future', () => {
    assert.throws(() => at({ full: 1 }, -1.5), { code: 'clock-suspect', message: /from the future: .*Z-full/ });
    assert.throws(() => at({ full: 1 }, -300), { code: 'clock-suspect', message: /and more/ });
    assert.throws(() => at({ full: 1 }, -300, daily, true), { code: 'clock-suspect' });
    assert.throws(() => at({}, -300), { code: 'clock-suspect' }, 'whatever the rules');
    assert.equal(at({ full: 3 }, -1 - 1 / 24 / 12).length, 3, 'five minutes between two hosts are none');
  });

  it('is noticed where it has jumped ahead', () => {
    assert.throws(() => at({ forDays: 7 }, 3650), {
      code: 'clock-suspect',
      message: /to now the clock went on by .*; 19 backup\(s\) would go/,
    });
    assert.throws(() => at({ full: 3, walDays: 7 }, 3650), { code: 'clock-suspect' });
    assert.equal(at({ full: 3 }, 3650).length, 3, 'counts do not depend on it');
    assert.equal(at({ periods: { daily: 5 } }, 3650).length, 5);
    assert.deepEqual(at({ forDays: 7 }, 3650, daily, true), [1]);
  });

  it('is noticed where backups were taken after it had jumped', () => {
    const after = [...daily, ...made(-3650)];
    assert.throws(() => at({ forDays: 7 }, 3651, after), {
      code: 'clock-suspect',
      message: /^from 20261122T120000Z-full to 2036/,
    });
    const later = [...after, ...made(-3651, -3652)];
    assert.throws(() => at({ forDays: 7 }, 3653, later), { code: 'clock-suspect' });
    assert.deepEqual(
      at({ forDays: 7 }, 3653, later, true),
      [1, -3650, -3651, -3652],
      'the window begins before the first',
    );
    assert.deepEqual(
      at({ forDays: 7 }, 3653, [...made(1), ...later.slice(20)]),
      [1, -3650, -3651, -3652],
      'and once is enough',
    );
  });

  it('is not suspected for a weekend', () => {
    const working = [10, 9, 8, 3, 2, 1].flatMap((day) => [0.4, 0.3, 0.2, 0.1].map((hour) => day + hour));
    const backups = made(...working.map((ago): MadeBackup => ({ ago, type: 'incremental' })), { ago: 0.1 });
    assert.ok(staying(plan(backups, { forDays: 1 })).length < 8);
  });

  it('is not suspected for long pauses between what was kept of long ago', () => {
    const thinned = made(700, 335, 100, 70, 40, 7, 6, 5, 4, 3, 2, 1, 0.5, 0.1);
    assert.deepEqual(
      staying(plan(thinned, { forDays: 5.5, periods: { monthly: 3, yearly: 2 } })),
      [335, 70, 40, 6, 5, 4, 3, 2, 1, 0.5, 0.1],
    );
  });
});

const anyBackup = fc.record({
  ago: fc.double({ min: 0, max: 900, noNaN: true }),
  type: fc.constantFrom('full', 'differential', 'incremental'),
  kind: fc.constantFrom('physical', 'physical', 'physical', 'logical'),
  keep: fc.constantFrom(false, false, false, true),
  bad: fc.constantFrom(false, false, true),
} as const);
const anyBackups = fc
  .uniqueArray(anyBackup, { maxLength: 25, selector: ({ ago }) => Math.round(ago * 100) })
  .map((all) => made(...all.toSorted((a, b) => b.ago - a.ago)));
const count = fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined });
const days = fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined });
const anyPeriods = fc.record({ hourly: count, daily: count, weekly: count, monthly: count, yearly: count });
const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    full: count,
    differential: count,
    incremental: count,
    forDays: days,
    periods: anyPeriods,
    walDays: fc.oneof(days, fc.constant('all' as const)),
    dumps: count,
    dumpsForDays: days,
    dumpPeriods: anyPeriods,
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));

/** What stays, by identifier. */
function stayingIds(backups: readonly BackupRecord[], rules: Policy): string[] {
  const verdicts = plan(backups, rules, { force: true }).verdicts;
  return verdicts.filter((one) => one.stays).map(({ backup }) => backup.id);
}

describe('whatever the rules and the backups', () => {
  it('something stays, the marked stays, and of a good one a good one', () => {
    fc.assert(
      fc.property(anyBackups, anyPolicy, (backups, rules) => {
        const left = new Set(stayingIds(backups, rules));
        for (const kind of ['physical', 'logical'] as const) {
          const own = backups.filter((backup) => backup.kind === kind);
          const good = own.filter(({ badPages }) => badPages.length === 0);
          if (own.length > 0) assert.ok(left.has(own.at(-1)?.id ?? ''), 'the newest');
          if (good.length > 0) assert.ok(left.has(good.at(-1)?.id ?? ''), 'the newest good one');
        }
        for (const { id, keep } of backups) if (keep) assert.ok(left.has(id), 'a marked one');
      }),
    );
  });

  it('expiring again expires nothing more', () => {
    fc.assert(
      fc.property(anyBackups, anyPolicy, (backups, rules) => {
        const left = new Set(stayingIds(backups, rules));
        const again = stayingIds(
          backups.filter(({ id }) => left.has(id)),
          rules,
        );
        assert.deepEqual(new Set(again), left);
      }),
    );
  });

  it('the order of the backups does not matter', () => {
    fc.assert(
      fc.property(anyBackups, anyPolicy, (backups, rules) => {
        assert.deepEqual(new Set(stayingIds(backups.toReversed(), rules)), new Set(stayingIds(backups, rules)));
      }),
    );
  });

  it('who keeps more of something keeps no less of anything', () => {
    const raised = fc.constantFrom('full', 'differential', 'incremental', 'forDays', 'dumps', 'dumpsForDays' as const);
    fc.assert(
      fc.property(anyBackups, anyPolicy, raised, fc.integer({ min: 1, max: 9 }), (backups, rules, name, more) => {
        const value = rules[name];
        if (value === undefined) return;
        const left = stayingIds(backups, { ...rules, walDays: 'all' });
        const wider = new Set(stayingIds(backups, { ...rules, walDays: 'all', [name]: value + more }));
        for (const id of left) assert.ok(wider.has(id));
      }),
    );
  });

  it('rules for dumps leave physical backups alone, and the other way round', () => {
    fc.assert(
      fc.property(anyBackups, anyPolicy, (backups, rules) => {
        const { dumps: _, dumpsForDays: __, dumpPeriods: ___, ...physicalOnly } = rules;
        const left = new Set(stayingIds(backups, physicalOnly));
        for (const { id, kind } of backups) if (kind === 'logical') assert.ok(left.has(id));
        const both = new Set(stayingIds(backups, rules));
        for (const { id, kind } of backups) if (kind === 'physical') assert.equal(both.has(id), left.has(id));
      }),
    );
  });
});
