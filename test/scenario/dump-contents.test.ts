import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import { namingRoles } from '../../src/logical/granted-roles.ts';
import { mapGrantedRoles } from '../../src/logical/map-roles.ts';
import { TocDecoder } from '../../src/logical/toc-decoder.ts';
import type { TocEntry } from '../../src/logical/toc-entry.ts';
import type { TocHeader } from '../../src/logical/toc-header.ts';
import { mapArchiveRoles } from '../../src/logical/toc-mapper.ts';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';
import { fullPostgres } from '../support/full-postgres.ts';

/* What is in an archive, as `show` tells it: pg_restore --list is the judge, entry by entry. */

const odd = `CREATE SCHEMA "Möbel ""alt""";
  CREATE TABLE "Möbel ""alt"""."a
b" (id serial PRIMARY KEY, "it's" text);
  INSERT INTO "Möbel ""alt"""."a
b" ("it's") SELECT repeat('x', 100) FROM generate_series(1, 500);
  COMMENT ON TABLE "Möbel ""alt"""."a
b" IS 'a comment;
-- of two lines';
  CREATE TABLE "고객" (id int PRIMARY KEY, day date, ref int REFERENCES "Möbel ""alt"""."a
b");
  CREATE INDEX ON "고객" (day);
  CREATE TABLE parted (day date NOT NULL, n int) PARTITION BY RANGE (day);
  CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  CREATE VIEW seen AS SELECT * FROM parted;
  CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM parted;
  CREATE TYPE mood AS ENUM ('so', 'so so');
  CREATE DOMAIN short AS text CHECK (length(VALUE) < 9);
  CREATE FUNCTION f(a int, b text DEFAULT ',') RETURNS int LANGUAGE sql AS 'SELECT a';
  CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TRIGGER tr BEFORE INSERT ON "고객" FOR EACH ROW EXECUTE FUNCTION t();
  CREATE SEQUENCE s;
  CREATE ROLE "clerk of ""shop""";
  GRANT SELECT ON "고객" TO "clerk of ""shop""";
  ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "clerk of ""shop""";
  SELECT lo_from_bytea(0, 'large'), lo_from_bytea(0, 'larger');
  CREATE PUBLICATION pub FOR TABLE parted`;

const tools = [
  ['15', '/usr/lib/postgresql/15/bin'],
  ['18', fullPostgres().binDirectory],
] as const;

function decodeWhole(bytes: Uint8Array, pieceBytes: number): { header: TocHeader; entries: TocEntry[] } {
  let header: TocHeader | undefined;
  const decoder = new TocDecoder((found) => (header = found));
  const entries: TocEntry[] = [];
  for (let at = 0; at < bytes.length && !decoder.done; at += pieceBytes) {
    entries.push(...decoder.push(bytes.subarray(at, at + pieceBytes)));
  }
  entries.push(...decoder.end());
  assert.ok(header);
  return { header, entries };
}

/** As pg_restore prints an entry: each field on one line. */
const line = ({ dumpId, tableOid, oid, kind, schema, tag, owner, dependencies }: TocEntry): string =>
  [
    `${dumpId}; ${tableOid} ${oid} ${kind} ${schema ?? '-'} ${tag} ${owner ?? ''}`.replaceAll(/[\r\n]/g, ' '),
    ...(dependencies.length > 0 ? [`;\tdepends on: ${dependencies.join(' ')}`] : []),
  ].join('\n');

/** With other names of roles everything is as it was but these, and where rows begin. */
async function assertMapped(bytes: Uint8Array, entries: readonly TocEntry[]): Promise<void> {
  const roles = new Map([
    ['postgres', 'boss'],
    ['clerk of "shop"', '고객 "1"'],
  ]);
  const pieces = Readable.from(cutInto(bytes, 1013)) as AsyncIterable<Buffer>;
  const mapped: Uint8Array[] = [];
  for await (const piece of mapArchiveRoles(pieces, roles)) mapped.push(piece);
  const found = decodeWhole(Buffer.concat(mapped), 1 << 20).entries;
  assert.deepEqual(
    found,
    entries.map((entry) => ({
      ...entry,
      owner: entry.owner && (roles.get(entry.owner) ?? entry.owner),
      ...(namingRoles.has(entry.kind) ? { definition: mapGrantedRoles(entry.definition ?? '', roles) } : {}),
      dataOffset: undefined,
    })),
  );
  assert.ok(found.some(({ definition }) => definition?.includes('TO "고객 ""1""";')));
}

function* cutInto(bytes: Uint8Array, pieceBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

describe('what is in a dump', () => {
  let server: TestCluster;
  const root = mkdtempSync(join(tmpdir(), 'pgrecall-contents-'));
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    await using session = await server.session();
    await session.query('CREATE DATABASE shop');
    await using shop = await server.session('shop');
    await shop.query(odd);
  });
  after(async () => {
    rmSync(root, { recursive: true });
    await server[Symbol.asyncDispose]();
  });

  for (const [version, bin] of tools) {
    for (const format of ['custom', 'directory', 'tar'] as const) {
      it(`is what pg_restore ${version} lists, in the format ${format}`, async () => {
        const path = join(root, `${format}-${version}`);
        const connection = ['-h', server.socketDirectory, '-U', 'postgres', 'shop'];
        execFileSync(join(bin, 'pg_dump'), [`-F${format}`, '-f', path, ...connection]);
        const list = execFileSync(join(bin, 'pg_restore'), ['--list', '--verbose', path], { encoding: 'utf8' });
        const expected = list.split('\n').filter((text) => text !== '' && !/^;(?! *\tdepends)/.test(text));
        let bytes: Uint8Array = readFileSync(format === 'directory' ? join(path, 'toc.dat') : path);
        if (format === 'tar') bytes = bytes.subarray(512);
        const { header, entries } = decodeWhole(bytes, 1 << 20);
        assert.deepEqual(entries.map(line).join('\n').split('\n'), expected);
        assert.ok(entries.length > 30);
        assert.equal(header.entries, entries.length);
        assert.ok(list.includes(`dbname: ${header.database}`));
        assert.ok(list.includes(`Dumped by pg_dump version: ${header.dumpVersion}`));
        assert.ok(list.includes(`Compression: ${version === '15' ? (format === 'tar' ? 0 : -1) : header.compression}`));
        const day = header.createdAt.replace('T', ' ');
        assert.ok(list.includes(`Archive created at ${day}`), day);
        await assertMapped(bytes, entries);
        // However it is cut into pieces.
        assert.deepEqual(decodeWhole(bytes, 1013).entries, entries);
        for (const entry of entries) {
          if (entry.kind === 'TABLE DATA') assert.ok((entry.file ?? entry.dataOffset) !== undefined, entry.tag);
        }
      });
    }

    it(`of ${version} is refused where it is cut off, and read or refused where it is edited`, () => {
      const whole = readFileSync(join(root, `directory-${version}`, 'toc.dat'));
      for (let length = 0; length < whole.length; length += 1 + (length >> 5)) {
        assert.throws(
          () => decodeWhole(whole.subarray(0, length), 1 << 20),
          (error) => hasCode(error, 'dump-contents'),
        );
      }
      for (let at = 0; at < whole.length; at += 7) {
        const edited = Buffer.from(whole);
        edited[at]! ^= 1 << (at % 8);
        try {
          decodeWhole(edited, 1 << 20);
        } catch (error) {
          assert.ok(hasCode(error, 'dump-contents'), `byte ${at}: ${String(error)}`);
        }
      }
    });
  }

  it('is told by show, with the bytes of tables where the format tells them', () => {
    using site = new CommandSite();
    const made = site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]);
    assert.equal(made.status, 0, made.stderr);
    for (const format of ['plain', 'custom', 'directory', 'tar']) {
      const dumped = site.run(['dump', 'main', '--database', 'shop', '--format', format]);
      assert.equal(dumped.status, 0, dumped.stderr);
      const shown = site.run(['show', 'main', 'latest']);
      assert.equal(shown.status, 0, shown.stderr);
      const json = site.run(['show', 'main', 'latest', '--json']).json() as {
        id: string;
        contents?: { name: string; entries: { kind: string; tag: string; dataBytes?: number }[] }[];
      };
      if (format === 'plain') {
        assert.equal(json.contents, undefined);
        continue;
      }
      assert.match(shown.stdout, /^contents of {2}shop, \d+ entries$/m);
      assert.match(shown.stdout, /^objects .*1 materialized view,/m);
      assert.match(shown.stdout, format === 'directory' ? /^table .*a\\nb.* {2}\d.*B$/m : /^table .*a\\nb"$/m);
      assert.deepEqual(
        json.contents?.map(({ name }) => name),
        ['shop'],
      );
      const rows = json.contents?.[0]?.entries.find(({ kind, tag }) => kind === 'TABLE DATA' && tag === 'a\nb');
      assert.equal(rows?.dataBytes !== undefined && rows.dataBytes > 50_000, format === 'directory');
    }
  });
});
