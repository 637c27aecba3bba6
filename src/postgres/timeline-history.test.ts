import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn } from './lsn.ts';
import { descendsFrom, formatHistory, parseHistory, timelineOfPosition } from './timeline-history.ts';
import { timeline } from './timeline.ts';

/* pg_wal/00000003.history of a PostgreSQL 15 standby that promoted itself at recovery_target_name, whose primary was promoted before. */
const real = '1\t0/4000000\tno recovery target specified\n\n2\t0/6000090\tat restore point "before the purge"\n';

/* The same with a third one, recovered to a time. */
const text = `${real}\n3\t0/7000148\tbefore 2026-11-25 09:30:00.123456+00\n`;

describe('a timeline history', () => {
  it('is read as a server writes it', () => {
    assert.deepEqual(parseHistory(real, timeline(3)), {
      timeline: 3,
      parents: [
        { timeline: 1, switchLsn: 0x400_0000n, reason: 'no recovery target specified' },
        { timeline: 2, switchLsn: 0x600_0090n, reason: 'at restore point "before the purge"' },
      ],
    });
    assert.equal(parseHistory(text, timeline(4)).parents[2]?.reason, 'before 2026-11-25 09:30:00.123456+00');
  });

  it('of timeline 1 has no ancestors', () => {
    assert.deepEqual(parseHistory('', timeline(1)), { timeline: 1, parents: [] });
  });

  it('may have comments, empty lines and no reason', () => {
    const byHand = '# by hand\n   \n\t# more\n  2 A/B  \n0003\tA/C\n';
    assert.deepEqual(parseHistory(byHand, timeline(9)).parents, [
      { timeline: 2, switchLsn: 0xa_0000_000bn, reason: '' },
      { timeline: 3, switchLsn: 0xa_0000_000cn, reason: '' },
    ]);
  });

  it('tells on which timeline a position lies: the switch itself is on the new one', () => {
    const history = parseHistory(text, timeline(4));
    for (const [position, expected] of [
      [0n, 1],
      [0x3ff_ffffn, 1],
      [0x400_0000n, 2],
      [0x600_008fn, 2],
      [0x600_0090n, 3],
      [0x700_0147n, 3],
      [0x700_0148n, 4],
      [0xffff_ffff_ffff_ffffn, 4],
    ] as const) {
      assert.equal(timelineOfPosition(history, lsn(position)), expected, String(position));
    }
  });

  it('tells what it descends from', () => {
    const history = parseHistory('1\t0/10\tx\n\n3\t0/20\ty\n', timeline(5));
    const answers = [1, 2, 3, 4, 5, 6].map((value) => descendsFrom(history, timeline(value)));
    assert.deepEqual(answers, [true, false, true, false, true, false]);
  });

  it('is refused where its timelines do not ascend to its own', () => {
    for (const [other, of] of [
      ['2\t0/10\tx\n1\t0/20\ty\n', 5],
      ['2\t0/10\tx\n2\t0/20\ty\n', 5],
      ['5\t0/10\tx\n', 5],
      ['6\t0/10\tx\n', 5],
    ] as const) {
      assert.throws(() => parseHistory(other, timeline(of)), { code: 'decode' }, other);
    }
  });

  it('is refused where a line is something else', () => {
    for (const line of [
      '1',
      '1\t',
      '1\t0',
      '1\t0/',
      '1 0/123456789',
      'x\t0/10',
      '0\t0/10\tx',
      '4294967296\t0/10',
      '\0',
    ]) {
      assert.throws(() => parseHistory(`${line}\n`, timeline(5)), { code: 'decode' }, JSON.stringify(line));
    }
  });

  it('is refused where it is cut within a line: half an LSN looks like another one', () => {
    for (let cut = 1; cut < text.length; cut += 1) {
      const part = text.slice(0, cut);
      if (part.endsWith('\n')) assert.ok(parseHistory(part, timeline(4)).parents.length <= 3);
      else assert.throws(() => parseHistory(part, timeline(4)), { code: 'decode' }, `cut at ${cut}`);
    }
  });

  it('is never read into anything but a history, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789ABF/\t\n #x') }), (any) => {
        try {
          const { parents } = parseHistory(any, timeline(7));
          assert.ok(
            parents.every((parent, i) => parent.timeline < 7 && parent.timeline > (parents[i - 1]?.timeline ?? 0)),
          );
        } catch (error) {
          assert.ok(error instanceof PgrecallError && error.code === 'decode');
        }
      }),
    );
  });

  it('is what it was after being written and read', () => {
    const parents = fc
      .uniqueArray(fc.integer({ min: 1, max: 0xffff_fffe }), { maxLength: 6 })
      .map((values) => values.toSorted((a, b) => a - b))
      .chain((values) =>
        fc.tuple(
          ...values.map((value) =>
            fc.record(
              {
                timeline: fc.constant(timeline(value)),
                switchLsn: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(lsn),
                reason: fc.string().filter((reason) => reason.trimStart() === reason && !reason.includes('\n')),
              },
              { noNullPrototype: true },
            ),
          ),
        ),
      );
    fc.assert(
      fc.property(parents, (list) => {
        const history = { timeline: timeline(0xffff_ffff), parents: list };
        assert.deepEqual(parseHistory(formatHistory(history), history.timeline), history);
      }),
    );
  });
});
