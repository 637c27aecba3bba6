import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findShortage, sizesByTablespace } from './room.ts';

test('what goes to one file system needs its room together, and each has to have its own', async () => {
  const disks = new Map([
    ['/data', { device: 1, freeBytes: 100 }],
    ['/near', { device: 1, freeBytes: 100 }],
    ['/fast', { device: 2, freeBytes: 50 }],
  ]);
  const shortage = (data: number, near: number, fast: number): unknown =>
    findShortage(
      [
        { path: '/data', bytes: data },
        { path: '/near', bytes: near },
        { path: '/fast', bytes: fast },
      ],
      (path) => disks.get(path) ?? assert.fail(path),
    );
  assert.equal(shortage(60, 40, 50), undefined);
  assert.deepEqual(shortage(60, 41, 0), { paths: ['/data', '/near'], neededBytes: 101, freeBytes: 100 });
  assert.deepEqual(shortage(0, 0, 51), { paths: ['/fast'], neededBytes: 51, freeBytes: 50 });

  async function* entries(): AsyncIterable<{ path: string; sizeBytes: number }> {
    yield { path: 'base/5/1', sizeBytes: 3 };
    yield { path: 'pg_tblspc/16400', sizeBytes: 0 };
    yield { path: 'pg_tblspc/16400/PG_15_1/5/1', sizeBytes: 4 };
    yield { path: 'pg_tblspc/16400/PG_15_1/5/2', sizeBytes: 5 };
  }
  assert.deepEqual(
    [...(await sizesByTablespace(entries()))],
    [
      [0, 3],
      [16_400, 9],
    ],
  );
});
