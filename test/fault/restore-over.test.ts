import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { PgrecallError } from '../../src/errors/pgrecall-error.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { inspectDeltaTarget } from '../../src/restore/delta-target.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { failEverywhere } from '../support/fault-loop.ts';
import { withFileFault, type FileFaultEffect } from '../support/file-faults.ts';
import { backUpMadeUp, reopened, restoreMadeUp } from '../support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages } from '../support/made-up-cluster.ts';
import { restoredTree, sameTrees, type RestoredPath } from '../support/restored-tree.ts';
import { testRepository } from '../support/test-repository.ts';

/* A restore in place that is killed, at every operation of the storage and at every change of the file system. */

// Each of some hundred restores syncs.
if (existsSync('/dev/shm')) process.env['TMPDIR'] = '/dev/shm';

type Tree = ReadonlyMap<string, RestoredPath>;

interface Site {
  readonly made: MadeUpCluster;
  readonly memory: MemoryStorage;
  readonly repository: Repository;
  readonly record: BackupRecord;
  readonly directory: string;
  /** The directory as it is before. */
  readonly before: Tree;
  /** What a restore to an empty directory makes. */
  readonly expected: Tree;
  /** Makes it as it was before. */
  readonly reset: () => void;
}

async function site(): Promise<Site & Disposable> {
  const made = new MadeUpCluster();
  made.write('base/5/1259', madeUpPages(40));
  made.write('base/5/1260', madeUpPages(3, { seed: 2 }));
  made.write('pg_xact/0000', Buffer.alloc(8192, 0x55));
  made.addTablespace(16_400);
  const memory = new MemoryStorage();
  const repository = await testRepository({ storage: memory });
  const record = await backUpMadeUp(made, repository.cluster('main'));
  const directory = join(made.root, 'restored');
  const place = `${directory}-tablespace-16400`;
  await restoreMadeUp(made, repository.cluster('main'), record, directory);
  const expected = restoredTree(directory);

  change(directory);
  const before = restoredTree(directory);
  const saved = join(made.root, 'saved');
  for (const [from, to] of [
    [directory, `${saved}/data`],
    [place, `${saved}/place`],
  ] as const)
    copy(from, to);
  const reset = (): void => {
    for (const path of [directory, place]) rmSync(path, { recursive: true, force: true });
    copy(`${saved}/data`, directory);
    copy(`${saved}/place`, place);
  };
  return {
    made,
    memory,
    repository,
    record,
    directory,
    before,
    expected,
    reset,
    [Symbol.dispose]: () => made[Symbol.dispose](),
  };
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  execFileSync('cp', ['-a', from, to]);
}

/** As a server that went on. */
function change(directory: string): void {
  const path = (name: string): string => join(directory, name);
  const relation = readFileSync(path('base/5/1259'));
  for (const page of [3, 4, 20]) relation.fill(page, page * 8192 + 100, page * 8192 + 200);
  writeFileSync(path('base/5/1259'), relation);
  appendFileSync(path('base/5/1260'), madeUpPages(2));
  truncateSync(path('pg_xact/0000'), 100);
  mkdirSync(path('base/7'));
  writeFileSync(path('base/7/1259'), madeUpPages(1));
  rmSync(path('pg_tblspc/16400/PG_15_202209061/5/16500'));
  for (const name of ['backup_label', 'recovery.signal']) rmSync(path(name));
  appendFileSync(path('postgresql.conf'), 'work_mem = 1GB\n');
}

const kept = (path: string): boolean => path.includes('.before-delta');

async function bring(at: Site, cluster: ClusterRepository = at.repository.cluster('main')): Promise<void> {
  const over = { ...inspectDeltaTarget(at.directory, at.record), superfluous: new Map() };
  await restoreMadeUp(at.made, cluster, at.record, at.directory, { over });
}

/** What must hold after a failure; then it is run again. */
async function checkAndGoOn(at: Site): Promise<void> {
  const left = restoredTree(at.directory);
  if (left.has('global/pg_control')) {
    // Not begun, or done.
    if (left.has('backup_label')) sameTrees(left, at.expected, (path) => kept(path) || path === 'pgrecall.unfinished');
    else sameTrees(left, at.before, kept);
  }
  await bring(at);
  sameTrees(restoredTree(at.directory), at.expected, kept);
  assert.match(readFileSync(join(at.directory, 'postgresql.conf.before-delta'), 'utf8'), /work_mem/);
}

describe('a restore in place that is killed', () => {
  it('at any operation of the repository: PostgreSQL does not start there, and it is run again', async () => {
    using at = await site();
    const faults = await failEverywhere({
      begun: new Map(at.memory.objects),
      act: async (storage) => {
        at.reset();
        await bring(at, reopened(at.repository, storage));
      },
      after: async (_, { error }) => {
        assert.ok(error, 'every operation of a restore matters');
        await checkAndGoOn(at);
      },
    });
    assert.ok(faults > 40, `only ${faults} faults`);
  });

  for (const effect of ['none', 'half', 'done'] satisfies FileFaultEffect[]) {
    it(`at any change of the file system (${effect} of it done): likewise`, async () => {
      using at = await site();
      at.reset();
      const { operations } = await withFileFault(0, effect, async () => bring(at));
      sameTrees(restoredTree(at.directory), at.expected, kept);
      assert.ok(operations.length > 60, `only ${operations.length} changes`);
      for (const [i, operation] of operations.entries()) {
        if (effect === 'half' && !operation.startsWith('write')) continue;
        at.reset();
        const { fired, error } = await withFileFault(i + 1, effect, async () => bring(at));
        try {
          assert.ok(fired, 'it never happened');
          if (error) assert.ok(error instanceof PgrecallError && error.code !== 'bug', inspect(error));
          await checkAndGoOn(at);
        } catch (cause) {
          throw new Error(`after change ${i + 1}, ${operation}`, { cause });
        }
      }
    });
  }
});
