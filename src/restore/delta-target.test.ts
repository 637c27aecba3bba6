import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { ErrorCode } from '../errors/catalogue.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import type { SystemFacts } from '../server/directory-use.ts';
import { MadeUpCluster, madeUpControl } from '../../test/support/made-up-cluster.ts';
import { identifier } from '../../test/support/test-archive.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { inspectDeltaTarget, isEmptyDirectory, presentTablespaces } from './delta-target.ts';
import {
  beginNew,
  beginOver,
  endRestore,
  readUnfinished,
  takeBackBegin,
  unfinishedName,
} from './unfinished-restore.ts';

const backup = backupRecord('b', { systemIdentifier: String(identifier) });
const quiet: SystemFacts = {
  processesIn: () => [],
  sharedMemory: () => [],
  bootedAt: () => undefined,
  isShared: () => false,
};

function refuses(directory: string, code: ErrorCode, system: SystemFacts = quiet): void {
  assert.throws(
    () => inspectDeltaTarget(directory, backup, system),
    (error) => hasCode(error, code) || assert.fail(String(error)),
  );
}

describe('a directory to be restored in place', () => {
  it('is one of the same cluster, whatever its state', () => {
    using made = new MadeUpCluster();
    const { control, unfinished } = inspectDeltaTarget(made.dataDirectory, backup, quiet);
    assert.deepEqual([control.systemIdentifier, unfinished], [String(identifier), false]);
  });

  it('is not one of another cluster, nor one that is no data directory', () => {
    using made = new MadeUpCluster();
    made.write('global/pg_control', madeUpControl({ systemIdentifier: 5n }));
    refuses(made.dataDirectory, 'cluster-mismatch');
    made.write('global/pg_control', 'damaged');
    refuses(made.dataDirectory, 'delta-target');
    rmSync(made.path('global/pg_control'));
    refuses(made.dataDirectory, 'delta-target');
    rmSync(made.path('PG_VERSION'));
    made.write('global/pg_control', madeUpControl());
    refuses(made.dataDirectory, 'delta-target');
    refuses(join(made.root, 'nowhere'), 'delta-target');
  });

  it('is not one of another version', () => {
    using made = new MadeUpCluster();
    const newer = backupRecord('b', { systemIdentifier: String(identifier), postgresMajor: 16 });
    assert.throws(() => inspectDeltaTarget(made.dataDirectory, newer, quiet), /of PostgreSQL 15, b of PostgreSQL 16/);
  });

  it('is not one in which a server works, or may work', () => {
    using made = new MadeUpCluster();
    refuses(made.dataDirectory, 'server-running', { ...quiet, processesIn: () => [77] });
    made.write('postmaster.pid', `999999999\n${made.dataDirectory}\n1700000000\n5432\n\n\n  5432001   1\nready\n`);
    refuses(made.dataDirectory, 'server-running');
    inspectDeltaTarget(made.dataDirectory, backup, { ...quiet, bootedAt: () => 1_700_000_100 });
  });

  it('is empty where there is nothing but what a file system has', () => {
    using made = new MadeUpCluster();
    assert.ok(isEmptyDirectory(join(made.root, 'nowhere')));
    mkdirSync(join(made.root, 'new', 'lost+found'), { recursive: true });
    assert.ok(isEmptyDirectory(join(made.root, 'new')));
    assert.ok(!isEmptyDirectory(made.dataDirectory));
  });

  it('has tablespaces where its links say', () => {
    using made = new MadeUpCluster();
    const place = made.addTablespace(16_400);
    mkdirSync(made.path('pg_tblspc/16401'));
    symlinkSync('/somewhere', made.path('pg_tblspc/other'));
    assert.deepEqual(presentTablespaces(made.dataDirectory), new Map([[16_400, place]]));
    assert.deepEqual(presentTablespaces(join(made.root, 'nowhere')), new Map());
  });
});

describe('a directory while it is restored', () => {
  it('has no pg_control, and is known by its copy, until the end', () => {
    using made = new MadeUpCluster();
    const control = made.path('global/pg_control');
    const before = readFileSync(control);
    assert.equal(readUnfinished(made.dataDirectory), undefined);
    beginOver(made.dataDirectory);
    assert.ok(!existsSync(control));
    assert.deepEqual(readUnfinished(made.dataDirectory), before);
    // Begun again.
    beginOver(made.dataDirectory);
    assert.deepEqual(inspectDeltaTarget(made.dataDirectory, backup, quiet).unfinished, true);
    endRestore(made.dataDirectory, Buffer.from('the backup’s'), undefined);
    assert.equal(readFileSync(control, 'utf8'), 'the backup’s');
    assert.ok(!existsSync(made.path(unfinishedName)));
  });

  it('is as it was where it is not restored after all', () => {
    using made = new MadeUpCluster();
    const before = readFileSync(made.path('global/pg_control'));
    beginOver(made.dataDirectory);
    takeBackBegin(made.dataDirectory);
    assert.deepEqual(readFileSync(made.path('global/pg_control')), before);
    assert.ok(!existsSync(made.path(unfinishedName)));
  });

  it('is known from the beginning where it was new', () => {
    using made = new MadeUpCluster();
    const directory = join(made.root, 'new');
    mkdirSync(directory);
    beginNew(directory, madeUpControl(), undefined);
    assert.deepEqual(inspectDeltaTarget(directory, backup, quiet).unfinished, true);
    // A copy that a crash at the very end has left behind says nothing.
    mkdirSync(join(directory, 'global'));
    writeFileSync(join(directory, 'global/pg_control'), madeUpControl());
    assert.equal(readUnfinished(directory), undefined);
  });
});
