import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  gibibyte,
  madeUpIndex,
  nameOf,
  putMadeUp,
  segmentAt,
  testArchive,
  walSegment,
  type TestArchive,
} from '../../test/support/test-archive.ts';
import { collect } from '../../test/support/test-repository.ts';
import { timeline } from '../postgres/timeline.ts';
import { writeGroups } from './roll-up.ts';
import { readWalCatalogue } from './wal-catalogue.ts';

const indexNames = ({ objects }: TestArchive): string[] =>
  [...objects.keys()]
    .filter((key) => key.includes('/wal-index/'))
    .map((key) => key.replace('clusters/main/wal-index/1/00000001/', ''))
    .toSorted();

const one = timeline(1);

describe('the index of WAL', () => {
  it('reads the same from a single object and from a log', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    const { index } = archive.store;
    const made = [4, 5, 6, 7].map((number) =>
      madeUpIndex(segmentAt(number), gibibyte, { commits: [1n, BigInt(number)], restorePoints: [`p${number}`] }),
    );
    for (const [i, content] of made.entries()) await index.write(segmentAt(4 + i), content);
    const read = async (): Promise<unknown[]> => Promise.all([4, 5, 6, 7].map(async (n) => index.read(segmentAt(n))));
    assert.deepEqual(await read(), made);
    assert.equal(await index.rollUpLog(one, 1n), true);
    assert.deepEqual(indexNames(archive), ['00000001.log']);
    assert.deepEqual(await read(), made);
    assert.deepEqual(await collect(index.readLog(one, 1n, 1, 2)), made.slice(1, 3));
    assert.equal(await index.has(segmentAt(6)), true);
    assert.equal(await index.has(segmentAt(8)), false);
    assert.equal(await index.read(segmentAt(8)), undefined);
  });

  it('is not rolled up while a segment’s is missing', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    for (const number of [4, 5, 7]) await putMadeUp(archive.store, segmentAt(number));
    assert.equal(await archive.store.index.rollUpLog(one, 1n), false);
    assert.equal(indexNames(archive).length, 3);
    await putMadeUp(archive.store, segmentAt(6));
    assert.equal(await archive.store.index.rollUpLog(one, 1n), true);
    assert.equal(await archive.store.index.rollUpLog(one, 1n), true);
    assert.deepEqual(indexNames(archive), ['00000001.log']);
  });

  it('is tidied up after someone who died between the log and the removal of the single objects', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    const { store, objects } = archive;
    for (const number of [4, 5, 6, 7]) await putMadeUp(store, segmentAt(number), { commits: [5n, 6n] });
    const singles = [...objects].filter(([key]) => key.includes('/wal-index/'));
    await store.index.rollUpLog(one, 1n);
    const before = await readWalCatalogue(store);
    for (const [key, bytes] of singles.slice(2)) objects.set(key, bytes);
    assert.deepEqual(await readWalCatalogue(store), before);
    assert.equal(await store.index.rollUpLog(one, 1n), true);
    assert.deepEqual(indexNames(archive), ['00000001.log']);
    assert.deepEqual(await readWalCatalogue(store), before);
  });

  it('gets the group that someone died before writing, and writes none where nothing is new', async () => {
    const archive = await testArchive({ segmentBytes: gibibyte });
    for (let number = 0; number < 8; number += 1) await putMadeUp(archive.store, segmentAt(number));
    for (const log of [0n, 1n]) await archive.store.index.rollUpLog(one, log);
    const now = { timeline: one, log: 2n };
    await writeGroups(archive.store, now);
    const key = [...archive.objects.keys()].find((name) => name.endsWith('.group')) ?? '';
    const written = await archive.store.index.readGroup(one, 0n);
    assert.equal(written?.filter((span) => span !== undefined).length, 2);
    const before = archive.objects.get(key);
    await writeGroups(archive.store, now);
    assert.equal(archive.objects.get(key), before, 'the very same object');
    archive.objects.delete(key);
    await writeGroups(archive.store, now);
    assert.deepEqual(await archive.store.index.readGroup(one, 0n), written);
  });
});

describe('segments on their way in', () => {
  it('roll their log up when the last one is there, though it is not the last to come', async () => {
    const archive = await testArchive();
    const { store } = archive;
    for (let number = 0; number < 4094; number += 1) {
      await store.index.write(segmentAt(number), madeUpIndex(segmentAt(number), store.segmentBytes));
    }
    await store.putSegment(nameOf(4095), walSegment(4095));
    assert.equal(indexNames(archive).length, 4095, 'one is missing');
    await store.putSegment(nameOf(4094), walSegment(4094));
    assert.equal(indexNames(archive).length, 4096, 'only the last one of a log looks');
    await store.putSegment(nameOf(4096), walSegment(4096));
    assert.deepEqual(indexNames(archive), ['00000000.log', `00000001/${nameOf(4096)}`]);
    assert.equal((await store.index.read(segmentAt(4094)))?.startLsn, 0xffe0_0000n);
    await store.putSegment(nameOf(4096), walSegment(4096));
    assert.equal(await store.putSegment(nameOf(4095), walSegment(4095)), 'already-there');
    assert.equal(indexNames(archive).length, 2, 'what is rolled up is not indexed again');
  });
});
