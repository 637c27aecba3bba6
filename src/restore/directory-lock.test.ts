import assert from 'node:assert/strict';
import { existsSync, mkdtempDisposableSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { countingBytes, noon } from '../../test/support/test-repository.ts';
import { lockDirectory, lockFolder } from './directory-lock.ts';

describe('a directory that is being restored in place', () => {
  it('is not written over by another restore, and keeps nothing of that', async () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'pgr-lock-'));
    const options = { purpose: 'restore', now: noon, randomBytes: countingBytes() };
    {
      await using _lock = await lockDirectory(directory.path, options);
      assert.ok(existsSync(join(directory.path, lockFolder)));
      await assert.rejects(lockDirectory(directory.path, options), (error) => hasCode(error, 'locked'));
    }
    assert.deepEqual(readdirSync(directory.path), []);
    await using _again = await lockDirectory(directory.path, options);
  });
});
