import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { isMountPoint, parseMounts, refuseMountsWithin } from './mount-points.ts';

const mountinfo = String.raw`22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:17 / /srv/my\040data/pg_wal rw - ext4 /dev/sdb1 rw
31 22 8:18 / /srv/other rw - ext4 /dev/sdb2 rw
`;

test('what is mounted within a directory that has to be kept is told before anything is moved', () => {
  const mounts = parseMounts(mountinfo);
  assert.deepEqual(mounts, ['/', '/srv/my data/pg_wal', '/srv/other']);
  const isRefused = (error: unknown): boolean => hasCode(error, 'keep-failed') && /my data/.test(String(error));
  assert.throws(() => refuseMountsWithin(['/srv/fast', '/srv/my data'], mounts), isRefused);
  refuseMountsWithin(['/srv/my', '/srv/other', '/srv/my data/pg_wal'], mounts);
});

test(
  'the root of a file system is a mount point, a directory in it is none',
  { skip: process.platform !== 'linux' },
  () => {
    assert.ok(isMountPoint('/proc'));
    assert.ok(!isMountPoint(import.meta.dirname));
  },
);
