import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import type { WalStore } from '../../src/archive/wal-store.ts';
import { gibibyte, putMadeUp, segmentAt, testArchive, type MadeUp, type TestArchive } from './test-archive.ts';

/** A range with positions counted in segments, and times as numbers. */
export type Range = readonly [timeline: number, from: number, to: number, first?: number, last?: number];

export async function rangesOf(store: WalStore): Promise<Range[]> {
  const { ranges } = await readWalCatalogue(store);
  return ranges.map((range) => {
    const times = [range.firstCommitTime, range.lastCommitTime].filter((time) => time !== undefined).map(Number);
    return [
      range.timeline,
      Number(range.startLsn) / store.segmentBytes,
      Number(range.endLsn) / store.segmentBytes,
      ...times,
    ] as unknown as Range;
  });
}

/** An archive of made-up segments of 1 GiB, four to a log. */
export async function madeUpArchive(
  segments: readonly (readonly [number: number, made?: MadeUp])[],
): Promise<TestArchive> {
  const archive = await testArchive({ segmentBytes: gibibyte });
  for (const [number, made] of segments) await putMadeUp(archive.store, segmentAt(number), made);
  return archive;
}
