import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { madeUpArchive } from '../../test/support/archive-ranges.ts';
import { gibibyte, putMadeUp, segmentAt } from '../../test/support/test-archive.ts';
import { lastingGaps } from './lasting-gaps.ts';

const interrupted = new Error('interrupted while it waits');
const { signal } = new AbortController();

describe('a gap', () => {
  it('is none when it closes in a moment', async () => {
    const { store } = await madeUpArchive([[5], [7]]);
    const looking = lastingGaps(store, [], { signal });
    await sleep(50);
    await putMadeUp(store, segmentAt(6));
    const { gaps, catalogue } = await looking;
    assert.deepEqual([gaps, catalogue.ranges.length], [[], 1]);
  });

  it('is waited for while an archiver may be about to close it', async () => {
    const { store } = await madeUpArchive([[5], [7]]);
    const waiting = lastingGaps(store, [], { signal: AbortSignal.abort(interrupted) });
    await assert.rejects(waiting, { cause: interrupted });
  });

  it('is one at once where more lies behind it than an archiver stores at once', async () => {
    const { store } = await madeUpArchive([[5], ...Array.from({ length: 513 }, (_, i): [number] => [7 + i])]);
    const { gaps } = await lastingGaps(store, [], { signal: AbortSignal.abort(interrupted) });
    assert.deepEqual(
      gaps.map(({ fromLsn, toLsn }) => [Number(fromLsn) / gibibyte, Number(toLsn) / gibibyte]),
      [[6, 7]],
    );
  });

  it('is not waited for where there is none', async () => {
    const { store } = await madeUpArchive([[5], [6]]);
    assert.deepEqual((await lastingGaps(store, [], { signal: AbortSignal.abort(interrupted) })).gaps, []);
  });
});
