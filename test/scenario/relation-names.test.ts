import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gatherNamesBeside, type GatheredNames, type NamesOptions } from '../../src/backup/relation-names.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { parseRelationPath } from '../../src/postgres/relation-file.ts';
import { RelationNames, describeRelation, relationKinds } from '../../src/postgres/relation-names.ts';
import { BackupRig } from '../support/backup-rig.ts';
import { TestCluster } from '../support/cluster.ts';
import { readNames } from '../support/second-reader-names.ts';

/* A backup knows what its files are called: every file of a relation, in every database. */

async function gather(cluster: TestCluster, changes: Partial<NamesOptions> = {}): Promise<GatheredNames> {
  await using beside = gatherNamesBeside({
    connection: cluster.uri(),
    signal: AbortSignal.timeout(60_000),
    ...changes,
  });
  return await beside.finish();
}

function nameOf(names: RelationNames, path: string): string {
  const file = parseRelationPath(path);
  const found = file && names.find(file);
  return found ? describeRelation(found) : `${path} is nothing`;
}

async function pathOf(session: SqlSession, relation: string): Promise<string> {
  const [row] = await session.query<{ path: string }>('SELECT pg_relation_filepath($1::regclass) AS path', [relation]);
  return row?.path ?? '';
}

for (const major of [14, 15, 18] as const) {
  describe(`names of relations on PostgreSQL ${major}`, () => {
    it('cover every file of a backup that a relation has', async () => {
      await using rig = await BackupRig.create({ major });
      await using session = await rig.cluster.session();
      await session.query(`CREATE TABLESPACE fast LOCATION '${rig.tablespace('fast')}'`);
      await session.query('CREATE SCHEMA "Sales"');
      await session.query('CREATE TABLE public.rental (id serial PRIMARY KEY, note text)');
      await session.query('CREATE TABLE "Sales"."Täglich" (day int) PARTITION BY RANGE (day)');
      await session.query('CREATE TABLE "Sales".first PARTITION OF "Sales"."Täglich" FOR VALUES FROM (0) TO (10)');
      await session.query('CREATE INDEX ON "Sales"."Täglich" (day)');
      await session.query('CREATE TABLE elsewhere (n int) TABLESPACE fast');
      await session.query('CREATE UNLOGGED TABLE quick (n int)');
      await session.query('CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one');
      await session.query('CREATE TEMPORARY TABLE passing (n int)');
      await session.query('CREATE DATABASE shop');
      // It has a new file from then on, like every relation that is written anew.
      await session.query('VACUUM FULL pg_class');
      await session.query('VACUUM FULL pg_database');
      await rig.archive();
      const record = await rig.backUp({
        gatherNames: (signal) => gatherNamesBeside({ connection: rig.cluster.uri(), signal }),
      });
      assert.deepEqual(record.warnings, []);
      await using manifest = await rig.clusterRepository.openManifest(record.id);
      const attachment = (await manifest.attachment('relations')) ?? new Uint8Array();
      const names = new RelationNames(attachment);

      const expected: [string, string][] = [
        ['public.rental', 'public.rental'],
        ['rental_pkey', 'index public.rental_pkey of public.rental'],
        ['rental_id_seq', 'sequence public.rental_id_seq'],
        ['"Sales".first', '"Sales".first'],
        ['"Sales".first_day_idx', 'index "Sales".first_day_idx of "Sales".first'],
        ['elsewhere', 'public.elsewhere'],
        ['quick', 'public.quick'],
        ['seen', 'public.seen'],
        ['pg_class', 'pg_catalog.pg_class'],
        ['pg_database', 'pg_catalog.pg_database'],
        ['pg_authid_rolname_index', 'index pg_catalog.pg_authid_rolname_index of pg_catalog.pg_authid'],
      ];
      for (const [relation, name] of expected) assert.equal(nameOf(names, await pathOf(session, relation)), name);
      const [toast] = await session.query<{ table: string; index: string }>(
        `SELECT c.reltoastrelid::regclass::text AS table, i.indexrelid::regclass::text AS index
           FROM pg_class c JOIN pg_index i ON i.indrelid = c.reltoastrelid WHERE c.oid = 'public.rental'::regclass`,
      );
      assert.equal(nameOf(names, await pathOf(session, toast?.table ?? '')), 'TOAST of public.rental');
      assert.equal(nameOf(names, await pathOf(session, toast?.index ?? '')), 'TOAST index of public.rental');

      const second = readNames(Buffer.from(attachment));
      assert.ok(second.length > 500, `${second.length} relations`);
      for (const { database, tablespace, file, oid, kind, unlogged, table, schema, name } of second) {
        const { table: _, ...relation } =
          names.find({ databaseOid: database, tablespaceOid: tablespace, relfilenode: file }) ?? {};
        const owner = table === undefined ? {} : { tableOid: table };
        const tells = { oid, tablespaceOid: tablespace, fileNumber: file, kind: relationKinds[kind], unlogged };
        assert.deepEqual(relation, { ...tells, schema, name, ...owner });
      }

      // template0 lets nobody in.
      const [closed] = await session.query<{ oid: number }>(
        'SELECT oid::int8::float8 AS oid FROM pg_database WHERE NOT datallowconn',
      );
      const nameless: string[] = [];
      let found = 0;
      for await (const { path } of manifest.entries()) {
        const file = parseRelationPath(path);
        if (!file || file.databaseOid === closed?.oid) continue;
        if (names.find(file)) found += 1;
        else nameless.push(path);
      }
      assert.ok(found > 500, `${found} files`);
      assert.deepEqual(nameless, [], 'every file that a relation has is named');
    });
  });
}

describe('names that cannot all be had', () => {
  it('are left out by database, with the reason', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    await using session = await cluster.session();
    await session.query('CREATE DATABASE closed');
    await session.query('CREATE ROLE visitor LOGIN');
    await session.query('REVOKE CONNECT ON DATABASE closed FROM PUBLIC');
    const [{ oid } = { oid: 0 }] = await session.query<{ oid: number }>(
      "SELECT oid::int8::float8 AS oid FROM pg_database WHERE datname = 'closed'",
    );
    const uri = cluster.uri();
    const visiting = `${uri}${uri.includes('?') ? '&' : '?'}user=visitor`;
    const few = await gather(cluster, { connection: visiting });
    assert.equal(few.warnings.length, 1, few.warnings.join('; '));
    assert.match(few.warnings[0] ?? '', /not in the backup for "closed": .*permission denied/);
    const names = new RelationNames(few.bytes);
    const shared = { databaseOid: 0, tablespaceOid: 1664, relfilenode: 1262 };
    assert.equal(names.find(shared)?.name, 'pg_database');
    assert.equal(names.find({ databaseOid: oid, tablespaceOid: 1663, relfilenode: 1259 }), undefined);

    const tooMany = await gather(cluster, { mostRelations: 100 });
    assert.match(tooMany.warnings.join(), /for "template1", "postgres", "closed": it has more than 100/);
    const noRoom = await gather(cluster, { mostBytes: 5000 });
    assert.match(noRoom.warnings.join(), /taken all the room/);
    const nobody = await gather(cluster, { connection: visiting.replace('user=visitor', 'user=nobody') });
    assert.match(nobody.warnings.join(), /for any database: cannot connect to nobody@/);
    assert.equal(new RelationNames(nobody.bytes).find(shared), undefined);
  });

  it('do not hold up a backup that was interrupted', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const interrupted = new AbortController();
    interrupted.abort(new Error('interrupted by SIGINT'));
    const { warnings } = await gather(cluster, { signal: interrupted.signal });
    assert.match(warnings.join(), /interrupted by SIGINT/);
  });
});
