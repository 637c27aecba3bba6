import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { madeUpControl } from '../../test/support/made-up-cluster.ts';
import { segmentAt, testArchive } from '../../test/support/test-archive.ts';
import { lsn, parseLsn } from '../postgres/lsn.ts';
import { StandbyShare } from './standby-share.ts';

describe('what a standby gets of a timeline that was left', () => {
  const within = async (
    look: (directory: string, kindOf: (n: number) => Promise<string>) => Promise<void>,
  ): Promise<void> => {
    const directory = mkdtempSync(join(tmpdir(), 'pgrecall-'));
    mkdirSync(join(directory, 'global'));
    try {
      const { store } = await testArchive();
      await store.putHistory('00000002.history', Buffer.from('1\t0/500100\twhy\n'));
      await look(directory, async (n) => (await new StandbyShare(store, directory).of(segmentAt(n))).kind);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
  const control = (directory: string, at: string, timeline = 1): void =>
    writeFileSync(join(directory, 'global', 'pg_control'), madeUpControl({ redoLsn: lsn(parseLsn(at)), timeline }));

  it('is nothing from behind that, while it may still follow the newer one', async () => {
    await within(async (directory, kindOf) => {
      control(directory, '0/300028');
      assert.equal(await kindOf(6), 'all', 'a recovery to a target');
      writeFileSync(join(directory, 'standby.signal'), '');
      writeFileSync(join(directory, 'postgresql.auto.conf'), "recovery_target_timeline = 'latest'\n");
      assert.deepEqual([await kindOf(4), await kindOf(5), await kindOf(6)], ['all', 'until', 'none']);
    });
  });

  it('is everything where it has got beyond that: the newer one was given up', async () => {
    await within(async (directory, kindOf) => {
      writeFileSync(join(directory, 'standby.signal'), '');
      control(directory, '0/700028');
      assert.deepEqual([await kindOf(5), await kindOf(8)], ['all', 'all']);
      control(directory, '0/700028', 2);
      assert.equal(await kindOf(8), 'none', 'it is on the newer one itself');
    });
  });

  it('is everything where it is bound to that timeline', async () => {
    await within(async (directory, kindOf) => {
      writeFileSync(join(directory, 'standby.signal'), '');
      control(directory, '0/300028');
      writeFileSync(
        join(directory, 'postgresql.auto.conf'),
        "recovery_target_timeline = 'latest'\nrecovery_target_timeline = '1'\n",
      );
      assert.deepEqual([await kindOf(5), await kindOf(8)], ['all', 'all']);
    });
  });
});
