import assert from 'node:assert/strict';
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { MadeUpCluster } from '../../test/support/made-up-cluster.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { planDeltaTablespaces, type DeltaTablespaces, type DeltaTablespacesOptions } from './delta-tablespaces.ts';

const oid = 16_400;

/** A cluster with one tablespace, and what is said of a restore over it. */
function site(made: MadeUpCluster): {
  place: string;
  plan: (changes?: Partial<DeltaTablespacesOptions>) => DeltaTablespaces;
} {
  const place = made.addTablespace(oid);
  const backup = backupRecord('b', { tablespaces: [{ oid, path: place, name: 'fast' }] });
  const plan = (changes: Partial<DeltaTablespacesOptions> = {}): DeltaTablespaces =>
    planDeltaTablespaces({
      directory: made.dataDirectory,
      backup,
      mappings: [],
      configured: made.dataDirectory,
      replayed: [],
      ...changes,
    });
  return { place, plan };
}

const refused = (error: unknown): boolean => hasCode(error, 'tablespace-mapping') || assert.fail(String(error));

describe('tablespaces of a directory that is restored in place', () => {
  it('are written where they lie, in the cluster’s own directory', () => {
    using made = new MadeUpCluster();
    const { place, plan } = site(made);
    assert.deepEqual(plan(), { places: new Map([[oid, place]]), superfluous: new Map(), warnings: [] });
    // Wherever that is by now.
    const moved = join(made.root, 'moved');
    renameSync(place, moved);
    rmSync(made.path('pg_tblspc/16400'));
    symlinkSync(moved, made.path('pg_tblspc/16400'));
    assert.deepEqual(plan().places, new Map([[oid, moved]]));
  });

  it('are not written where a copy’s links lead to the tablespaces of the original', () => {
    using made = new MadeUpCluster();
    const { place, plan } = site(made);
    const directory = join(made.root, 'copy');
    cpSync(made.dataDirectory, directory, { recursive: true, verbatimSymlinks: true });
    assert.throws(() => plan({ directory }), refused);
    assert.throws(() => plan({ directory, configured: undefined }), refused);
    // The original is on another machine; or the administrator says that it is right.
    assert.deepEqual(plan({ directory, configured: '/nowhere' }).places, new Map([[oid, place]]));
    assert.deepEqual(plan({ directory, mappings: [`fast=${place}`] }).places, new Map([[oid, place]]));
  });

  it('can be put elsewhere, into an empty directory; what was there stays', () => {
    using made = new MadeUpCluster();
    const { place, plan } = site(made);
    const elsewhere = join(made.root, 'elsewhere');
    const { places, warnings } = plan({ mappings: [`fast=${elsewhere}`] });
    assert.deepEqual(places, new Map([[oid, elsewhere]]));
    assert.deepEqual(warnings, [`what is in "${place}" (tablespace 16400) is left as it is`]);
    mkdirSync(join(elsewhere, 'something'), { recursive: true });
    assert.throws(() => plan({ mappings: [`fast=${elsewhere}`] }), refused);
  });

  it('are new where the directory does not have them', () => {
    using made = new MadeUpCluster();
    const { place, plan } = site(made);
    rmSync(made.path('pg_tblspc/16400'));
    assert.throws(() => plan(), refused);
    rmSync(place, { recursive: true });
    assert.deepEqual(plan().places, new Map([[oid, place]]));
  });

  it('are emptied where the backup does not have them, and replay can make them again', () => {
    using made = new MadeUpCluster();
    const { plan } = site(made);
    const later = made.addTablespace(16_401);
    const replayed = [{ oid: 16_401, path: later }];
    assert.deepEqual(plan({ replayed }).superfluous, new Map([[16_401, later]]));
    // Unless they may be another's.
    const directory = join(made.root, 'copy');
    cpSync(made.dataDirectory, directory, { recursive: true, verbatimSymlinks: true });
    const mappings = [`16400=${join(made.root, 'elsewhere')}`];
    const { superfluous, warnings } = plan({ directory, mappings });
    assert.equal(superfluous.size, 0);
    assert.match(warnings.join('\n'), /tablespace 16401\) is left as it is: it may be another's/);
    assert.throws(() => plan({ directory, mappings, replayed }), refused);
  });

  it('do not lie in the data directory', () => {
    using made = new MadeUpCluster();
    const { plan } = site(made);
    const inside = made.path('inside');
    mkdirSync(inside);
    rmSync(made.path('pg_tblspc/16400'));
    symlinkSync(inside, made.path('pg_tblspc/16400'));
    assert.throws(() => plan(), refused);
  });
});
