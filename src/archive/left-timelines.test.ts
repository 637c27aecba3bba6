import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nameOf, testArchive, walSegment } from '../../test/support/test-archive.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { parseSegmentName } from '../postgres/segment-name.ts';
import { parseHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import { leftAt, LeftTimelines } from './left-timelines.ts';

describe('a timeline that was left', () => {
  it('ends where the newest that comes from it left it', () => {
    const histories = [
      parseHistory('1\t0/500100\twhy\n', timeline(2)),
      parseHistory('1\t0/400000\twhy\n', timeline(3)),
      parseHistory('1\t0/400000\twhy\n3\t0/700000\twhy\n', timeline(5)),
      parseHistory('1\t0/500100\twhy\n2\t0/600000\twhy\n', timeline(4)),
    ];
    assert.equal(leftAt(timeline(1), histories), parseLsn('0/400000'));
    assert.equal(leftAt(timeline(2), histories), parseLsn('0/600000'));
    assert.equal(leftAt(timeline(3), histories), parseLsn('0/700000'));
    assert.equal(leftAt(timeline(4), histories), undefined);
    assert.equal(leftAt(timeline(5), histories), undefined);
  });

  it('gives a standby nothing from behind that, also where it becomes known later', async () => {
    const { store } = await testArchive();
    for (const n of [4, 5, 6]) await store.putSegment(nameOf(n), walSegment(n));
    const left = new LeftTimelines(store);
    const share = async (n: number): Promise<unknown> =>
      (await left.shareOf(parseSegmentName(nameOf(n), store.segmentBytes))).share;
    assert.deepEqual(await share(6), { kind: 'all' });
    await store.putHistory('00000002.history', Buffer.from('1\t0/500100\twhy\n'));
    assert.deepEqual(await share(4), { kind: 'all' });
    assert.deepEqual(await share(5), { kind: 'until', lsn: parseLsn('0/500100') });
    assert.deepEqual(await share(6), { kind: 'none' });
    await store.putHistory('00000003.history', Buffer.from('1\t0/500000\twhy\n'));
    assert.deepEqual(await share(4), { kind: 'all' });
    assert.deepEqual(await share(5), { kind: 'none' });
  });
});
