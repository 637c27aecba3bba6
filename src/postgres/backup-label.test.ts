import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatBackupLabel, parseBackupLabel } from './backup-label.ts';
import { lsn } from './lsn.ts';
import { timeline } from './timeline.ts';

/* Of a PostgreSQL 15 server: select pg_backup_start('before the upgrade', true); select labelfile from pg_backup_stop() */
const real = [
  'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)',
  'CHECKPOINT LOCATION: 0/2000060',
  'BACKUP METHOD: streamed',
  'BACKUP FROM: primary',
  'START TIME: 2026-11-25 10:33:41 UTC',
  'LABEL: before the upgrade',
  'START TIMELINE: 1',
  '',
];

const text = real.join('\n');

describe('backup_label', () => {
  it('is read as a server writes it', () => {
    assert.deepEqual(parseBackupLabel(text), {
      startLsn: 0x200_0028n,
      startSegment: '000000010000000000000002',
      checkpointLsn: 0x200_0060n,
      method: 'streamed',
      from: 'primary',
      startTime: '2026-11-25 10:33:41 UTC',
      label: 'before the upgrade',
      startTimeline: 1,
    });
    assert.equal(formatBackupLabel(parseBackupLabel(text)), text);
  });

  it('of a standby, of an incremental backup and of one that has ended is read too', () => {
    const others = [
      ...real.slice(0, 3),
      'BACKUP FROM: standby',
      ...real.slice(4, 7),
      'INCREMENTAL FROM LSN: 0/1000028',
      'INCREMENTAL FROM TLI: 1',
      'STOP TIME: 2026-11-23 08:39:00 UTC',
      'STOP TIMELINE: 2',
      '',
    ].join('\n');
    assert.equal(parseBackupLabel(others).from, 'standby');
    assert.equal(parseBackupLabel(others).startTimeline, 1);
  });

  it('may have an empty label, and one with anything in it', () => {
    for (const label of ['', ' ', 'LABEL: x', '백업 ¶ \t\r "\'', 'START TIMELINE: 7']) {
      const parsed = parseBackupLabel([...real.slice(0, 5), `LABEL: ${label}`, ...real.slice(6)].join('\n'));
      assert.deepEqual([parsed.label, parsed.startTimeline], [label, 1]);
    }
  });

  it('is refused wherever it is cut', () => {
    for (let cut = 0; cut < text.length; cut += 1) {
      assert.throws(() => parseBackupLabel(text.slice(0, cut)), { code: 'decode' }, `cut at ${cut}`);
    }
  });

  it('is refused without any of its lines', () => {
    for (const [at, line] of real.slice(0, -1).entries()) {
      const name = line.slice(0, line.indexOf(':'));
      const without = real.filter((_, i) => i !== at).join('\n');
      assert.throws(() => parseBackupLabel(without), { code: 'decode', message: `backup_label: no line "${name}"` });
    }
  });

  it('is refused where a line says something else', () => {
    for (const [at, line] of [
      [0, 'START WAL LOCATION: 0/2000028'],
      [0, 'START WAL LOCATION: 2000028 (file 000000010000000000000002)'],
      [0, 'START WAL LOCATION: 0/2000028 (file 00000001000000000000000)'],
      [0, 'START WAL LOCATION: 0/200002800 (file 000000010000000000000002)'],
      [1, 'CHECKPOINT LOCATION: nowhere'],
      [1, 'CHECKPOINT LOCATION: 123456789/0'],
      [2, 'BACKUP METHOD: '],
      [3, 'BACKUP FROM: elsewhere'],
      [4, 'START TIME: '],
      [6, 'START TIMELINE: 0'],
      [6, 'START TIMELINE: -1'],
      [6, 'START TIMELINE: 4294967296'],
      [6, 'START TIMELINE: 99999999999999999999999'],
    ] as const) {
      const lines = real.map((original, i) => (i === at ? line : original));
      assert.throws(() => parseBackupLabel(lines.join('\n')), { code: 'decode' }, line);
    }
  });

  it('is read or refused, whatever is in it', () => {
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(20), fc.string({ unit: 'binary' }), (at, removed, inserted) => {
        try {
          parseBackupLabel(text.slice(0, at) + inserted + text.slice(at + removed));
        } catch (error) {
          assert.ok(error instanceof PgrecallError && error.code === 'decode');
        }
      }),
    );
  });

  it('is what it was after being written and read', () => {
    const positions = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(lsn);
    const line = fc.string().filter((value) => !value.includes('\n'));
    const labels = fc.record(
      {
        startLsn: positions,
        startSegment: fc.string({ unit: fc.constantFrom(...'0123456789ABCDEF'), minLength: 24, maxLength: 24 }),
        checkpointLsn: positions,
        method: fc.constantFrom('streamed', 'pg_start_backup'),
        from: fc.constantFrom('primary' as const, 'standby' as const),
        startTime: fc.constant('2026-11-23 08:38:34 KST'),
        label: line,
        startTimeline: fc.integer({ min: 1, max: 0xffff_ffff }).map(timeline),
      },
      { noNullPrototype: true },
    );
    fc.assert(fc.property(labels, (label) => assert.deepEqual(parseBackupLabel(formatBackupLabel(label)), label)));
  });
});
