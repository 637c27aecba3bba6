import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backupRecord } from '../../test/support/test-repository.ts';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import { parseHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { findGaps, recoverableSpans } from './recoverable.ts';
import type { WalCatalogue } from './wal-catalogue.ts';

const segmentBytes = 16_777_216;

/** `1 0/2000000-0/5000000`: timeline, from, to. */
function catalogue(ranges: readonly string[], histories: Readonly<Record<number, string>> = {}): WalCatalogue {
  return {
    ranges: ranges.map((text) => {
      const [of = '', from = '', to = ''] = text.split(/[ -]/);
      const endLsn = parseLsn(to);
      return {
        timeline: timeline(Number(of)),
        startLsn: parseLsn(from),
        endLsn,
        wholeEndLsn: endLsn,
        firstCommitTime: undefined,
        lastCommitTime: undefined,
      };
    }),
    histories: new Map(
      Object.entries(histories).map(([of, text]) => [timeline(Number(of)), parseHistory(text, timeline(Number(of)))]),
    ),
  };
}

const backup = (startLsn: string, endLsn: string, on = 1): BackupRecord =>
  backupRecord(startLsn, { startLsn, endLsn, timeline: on });

function spans(backups: readonly BackupRecord[], archived: WalCatalogue): string[] {
  return recoverableSpans(backups, archived, segmentBytes).map(
    (span) => `${span.timeline} ${formatLsn(span.fromLsn)}-${formatLsn(span.toLsn)}`,
  );
}

function gaps(backups: readonly BackupRecord[], archived: WalCatalogue): string[] {
  return findGaps(backups, archived, segmentBytes).map(
    (gap) => `${gap.timeline} ${formatLsn(gap.fromLsn)}-${formatLsn(gap.toLsn)}`,
  );
}

describe('what can be recovered', () => {
  it('ends where wal_level became minimal, and begins once more with the next backup', () => {
    const { ranges, histories } = catalogue(['1 0/1000000-0/9000000']);
    const barriers = ['0/4000000', '0/6000000'].map((at) => ({ lsn: parseLsn(at), lastCommitTime: 7n }));
    const archived = { histories, ranges: ranges.map((range) => ({ ...range, lastCommitTime: 9n, barriers })) };
    const first = backup('0/2000028', '0/2000100');
    const last = backup('0/7000028', '0/7000100');
    assert.deepEqual(spans([first], archived), ['1 0/2000100-0/4000000']);
    assert.deepEqual(spans([first, last], archived), ['1 0/2000100-0/4000000', '1 0/7000100-0/9000000']);
    assert.deepEqual(
      recoverableSpans([first, last], archived, segmentBytes).map(({ lastCommitTime }) => lastCommitTime),
      [7n, 9n],
    );
    const asMinimal = { ...backup('0/5000028', '0/5000100'), walLevel: 'minimal' };
    assert.deepEqual(spans([asMinimal], archived), []);
    assert.deepEqual(gaps([first, last], archived), []);
  });

  it('begins where the first backup of each run of WAL has ended', () => {
    const archived = catalogue(['1 0/1000000-0/5000000', '1 0/7000000-0/9000000']);
    assert.deepEqual(spans([], archived), []);
    assert.deepEqual(spans([backup('0/3000028', '0/3000100'), backup('0/2000028', '0/2000100')], archived), [
      '1 0/2000100-0/5000000',
    ]);
    assert.deepEqual(spans([backup('0/2000028', '0/2000100'), backup('0/8000028', '0/8000100')], archived), [
      '1 0/2000100-0/5000000',
      '1 0/8000100-0/9000000',
    ]);
  });

  it('is nothing where the backup’s own WAL is missing', () => {
    assert.deepEqual(spans([backup('0/5000028', '0/7000100')], catalogue(['1 0/1000000-0/7000000'])), []);
    assert.deepEqual(spans([backup('0/2000028', '0/2000100', 2)], catalogue(['1 0/1000000-0/7000000'])), []);
  });

  it('goes on into a timeline from where it left the one before', () => {
    const histories = { 2: '1\t0/5000F00\tno recovery target specified\n' };
    const archived = catalogue(['1 0/1000000-0/5000000', '2 0/5000000-0/9000000'], histories);
    assert.deepEqual(spans([backup('0/2000028', '0/2000100')], archived), [
      '1 0/2000100-0/5000000',
      '2 0/5000F00-0/9000000',
    ]);
    assert.deepEqual(
      spans([backup('0/2000028', '0/2000100'), backup('0/6000028', '0/6000100', 2)], archived),
      ['1 0/2000100-0/5000000', '2 0/5000F00-0/9000000'],
      'a backup of the new timeline takes nothing away',
    );
  });

  it('goes through timelines that have no segment of their own left to them', () => {
    const histories = {
      2: '1\t0/5000F00\t\n',
      3: '1\t0/5000F00\t\n2\t0/8000F00\t\n',
    };
    const archived = catalogue(['1 0/1000000-0/5000000', '2 0/5000000-0/8000000', '3 0/8000000-0/9000000'], histories);
    assert.deepEqual(spans([backup('0/2000028', '0/2000100')], archived).at(-1), '3 0/8000F00-0/9000000');
  });

  it('does not go on where WAL between the backup and the branch is missing', () => {
    const histories = { 2: '1\t0/5000F00\t\n' };
    const behind = catalogue(['1 0/1000000-0/4000000', '2 0/5000000-0/9000000'], histories);
    assert.deepEqual(spans([backup('0/2000028', '0/2000100')], behind), ['1 0/2000100-0/4000000']);
    const late = catalogue(['1 0/1000000-0/6000000', '2 0/6000000-0/9000000'], histories);
    assert.deepEqual(spans([backup('0/2000028', '0/2000100')], late), ['1 0/2000100-0/6000000']);
    const after = catalogue(['1 0/1000000-0/9000000', '2 0/5000000-0/9000000'], histories);
    assert.deepEqual(spans([backup('0/6000028', '0/6000100')], after), ['1 0/6000100-0/9000000']);
  });
});

describe('gaps', () => {
  it('lie between two runs of WAL of one timeline', () => {
    const archived = catalogue(['1 0/1000000-0/5000000', '1 0/7000000-0/9000000']);
    assert.deepEqual(gaps([], archived), ['1 0/5000000-0/7000000']);
    assert.deepEqual(gaps([backup('0/2000028', '0/2000100')], archived), ['1 0/5000000-0/7000000']);
  });

  it('before the first backup are nobody’s loss', () => {
    const archived = catalogue(['1 0/1000000-0/5000000', '1 0/7000000-0/9000000']);
    assert.deepEqual(gaps([backup('0/8000028', '0/8000100')], archived), []);
  });

  it('lie at a branch where the end or the beginning of WAL is missing there', () => {
    const histories = { 2: '1\t0/5000F00\t\n' };
    assert.deepEqual(gaps([], catalogue(['1 0/1000000-0/5000000', '2 0/5000000-0/9000000'], histories)), []);
    assert.deepEqual(gaps([], catalogue(['1 0/1000000-0/4000000', '2 0/5000000-0/9000000'], histories)), [
      '1 0/4000000-0/5000000',
    ]);
    assert.deepEqual(gaps([], catalogue(['1 0/1000000-0/5000000', '2 0/7000000-0/9000000'], histories)), [
      '2 0/5000F00-0/7000000',
    ]);
  });

  it('are none between cold backups of a server that nobody archives', () => {
    const cold = (startLsn: string, endLsn: string): BackupRecord => ({
      ...backup(startLsn, endLsn),
      temperature: 'cold',
    });
    const archived = catalogue(['1 0/2000000-0/2000100', '1 0/5000000-0/5000200']);
    const taken = [cold('0/2000028', '0/2000100'), cold('0/5000188', '0/5000200')];
    assert.deepEqual(gaps(taken, archived), []);
    const gap = ['1 0/2000100-0/5000000'];
    // A hot one among them, or WAL that goes on from one of them: somebody archived.
    assert.deepEqual(gaps([backup('0/2000028', '0/2000100'), cold('0/5000188', '0/5000200')], archived), gap);
    assert.deepEqual(gaps(taken, catalogue(['1 0/2000000-0/2000100', '1 0/5000000-0/6000000'])), gap);
    assert.deepEqual(gaps(taken, catalogue(['1 0/1000000-0/2000100', '1 0/5000000-0/5000200'])), gap);
  });
});
