import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseHistory } from '../postgres/timeline-history.ts';
import { timeline } from '../postgres/timeline.ts';
import { nameOf, testArchive, walSegment } from '../../test/support/test-archive.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { leftBehind, receivedLength, storeLeftBehind } from './left-behind.ts';

const segmentBytes = 1_048_576;
const name = (of: number, number: number): string =>
  `${of.toString().padStart(8, '0')}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`;

describe('what a primary that died has left behind', () => {
  it('are the whole segments on the way to the new timeline, and no others', () => {
    const history = parseHistory('1\t0/500100\twhy\n2\t0/800000\twhy\n', timeline(4));
    const files = [
      ...[3, 4, 5, 6].map((number) => name(1, number)),
      ...[4, 5, 6, 7, 8].map((number) => name(2, number)),
      ...[5, 6].map((number) => name(3, number)),
      ...[8, 9].map((number) => name(4, number)),
      ...['archive_status', `${name(1, 4)}.partial`, '00000004.history'],
    ];
    assert.deepEqual(leftBehind(segmentBytes, history, files.toReversed()), [
      name(1, 3),
      name(1, 4),
      ...[5, 6, 7].map((number) => name(2, number)),
    ]);
  });

  it('is of a segment what was received: pages of its own, and the zeros behind a switch', () => {
    const bytes = walSegment(5);
    assert.equal(receivedLength(bytes), segmentBytes);
    bytes.fill(0, 5 * 8192);
    assert.equal(receivedLength(bytes), segmentBytes);
    // What the file held before it was used again.
    bytes.set(walSegment(2).subarray(9 * 8192), 9 * 8192);
    assert.equal(receivedLength(bytes), 9 * 8192);
    bytes[8 * 8192 + 100] = 1;
    assert.equal(receivedLength(bytes), 8 * 8192);
  });

  it('is made durable where someone has stored it, who may have died since', async () => {
    const memory = new MemoryStorage();
    const settled: string[] = [];
    const settle = memory.settle.bind(memory);
    memory.settle = async (key) => {
      settled.push(key);
      await settle(key);
    };
    const { store } = await testArchive({ memory });
    await store.putSegment(nameOf(4), walSegment(4));
    settled.length = 0;
    const directory = mkdtempSync(join(tmpdir(), 'pgrecall-left-'));
    try {
      for (const n of [4, 5]) writeFileSync(join(directory, nameOf(n)), walSegment(n));
      const history = parseHistory('1\t0/600100\twhy\n', timeline(2));
      assert.deepEqual(await storeLeftBehind(store, history, directory), [nameOf(5)]);
    } finally {
      rmSync(directory, { recursive: true });
    }
    assert.equal(settled.filter((key) => key.includes(nameOf(4))).length, 1);
  });

  it('is nothing on the first timeline', () => {
    assert.deepEqual(leftBehind(segmentBytes, parseHistory('', timeline(1)), [name(1, 1)]), []);
  });
});
