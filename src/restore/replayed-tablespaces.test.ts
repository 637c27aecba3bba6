import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { identifier, mebibyte, nameOf, testArchive } from '../../test/support/test-archive.ts';
import { WalBuilder, u32 } from '../../test/support/wal-builder.ts';
import { replayedTablespaces } from './replayed-tablespaces.ts';
import { searchedWal } from './searched-wal.ts';

const made = (oid: number, path: string): Parameters<WalBuilder['record']>[0] => ({
  resourceManager: 5,
  info: 0,
  main: Buffer.concat([u32(oid), Buffer.from(`${path}\0`)]),
});

describe('tablespaces that replay makes', () => {
  it('are those that WAL makes between the two positions, across the boundary of segments too', async () => {
    const builder = new WalBuilder({
      startLsn: BigInt(2 * mebibyte),
      segmentBytes: mebibyte,
      systemIdentifier: identifier,
    });
    builder.record(made(1, '/before'));
    const from = builder.lsn;
    builder.record(made(2, '/first'));
    builder.record(made(3, ''));
    builder.fillTo(mebibyte - 40);
    builder.record(made(4, `/across/${'x'.repeat(60)}`));
    builder.record(made(5, '/last'));
    const until = builder.lsn;
    builder.record(made(6, '/after'));
    builder.fillTo(mebibyte - 32).filler(32);
    const { store } = await testArchive();
    for (const [i, segment] of builder.segments.entries()) await store.putSegment(nameOf(2 + i), segment);
    const path = [{ timeline: timeline(1), startLsn: lsn(0), endLsn: undefined }];
    const found = await replayedTablespaces(searchedWal(store), path, {
      from: { timeline: timeline(1), lsn: from },
      until,
    });
    assert.deepEqual(found, [
      { oid: 2, path: '/first' },
      { oid: 4, path: `/across/${'x'.repeat(60)}` },
      { oid: 5, path: '/last' },
    ]);
  });
});
