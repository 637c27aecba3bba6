import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { lsn } from '../../src/postgres/lsn.ts';
import { createPageKernel } from '../../src/postgres/page-kernel.ts';
import { pageBytes, pageChecksum } from '../../src/postgres/page.ts';
import { parseRelationPath } from '../../src/postgres/relation-file.ts';
import { TestCluster } from '../support/cluster.ts';
import { fullPostgres } from '../support/full-postgres.ts';
import { giveToServer } from '../support/server-user.ts';

/* Our page checksums beside pg_checksums, on the same stopped clusters: sound ones, and ones in which bits are flipped. */

const blocksOfFile = 131_072;
const end = lsn(0xffff_ffff_ffff_ffffn);
const kernel = createPageKernel(32 * pageBytes);

interface Checked {
  readonly files: number;
  readonly blocks: number;
  /** `base/5/16384:7`, the block counted in the file. */
  readonly bad: readonly string[];
}

function relationFiles(dataDirectory: string): string[] {
  return ['base', 'global', 'pg_tblspc'].flatMap((top) =>
    listFiles(dataDirectory, top).filter((path) => parseRelationPath(path) !== undefined),
  );
}

/** Through the links of tablespaces too. */
function listFiles(dataDirectory: string, path: string): string[] {
  return readdirSync(join(dataDirectory, path)).flatMap((name) => {
    const child = `${path}/${name}`;
    return statSync(join(dataDirectory, child)).isDirectory() ? listFiles(dataDirectory, child) : [child];
  });
}

function checkOurs(dataDirectory: string): Checked {
  const bad: string[] = [];
  let blocks = 0;
  const files = relationFiles(dataDirectory);
  for (const path of files) {
    const bytes = readFileSync(join(dataDirectory, path));
    const pages = bytes.length / pageBytes;
    blocks += pages;
    const firstBlock = (parseRelationPath(path)?.segment ?? 0) * blocksOfFile;
    for (let first = 0; first < pages; first += 32) {
      const here = Math.min(32, pages - first);
      kernel.buffer.set(bytes.subarray(first * pageBytes, (first + here) * pageBytes));
      for (const page of kernel.verifyPages(0, here, firstBlock + first, end)) bad.push(`${path}:${first + page}`);
    }
  }
  return { files: files.length, blocks, bad: bad.toSorted() };
}

function checkTheirs(program: string, dataDirectory: string): Checked {
  const { stdout, stderr } = spawnSync(program, ['--check', '--pgdata', dataDirectory], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const number = (label: string): number => Number(new RegExp(`^${label}: +(\\d+)$`, 'm').exec(stdout)?.[1]);
  const found = stderr.matchAll(/verification failed in file "([^"]+)", block (\d+)/g);
  const bad = Array.from(found, ([, path = '', block = '']) => `${path.slice(dataDirectory.length + 1)}:${block}`);
  assert.equal(number('Bad checksums'), bad.length, stderr);
  return { files: number('Files scanned'), blocks: number('Blocks scanned'), bad: bad.toSorted() };
}

for (const [major, binDirectory] of [
  [15, '/usr/lib/postgresql/15/bin'],
  [18, fullPostgres().binDirectory],
] as const) {
  describe(`page checksums of PostgreSQL ${major}`, () => {
    let cluster: TestCluster;
    const program = join(binDirectory, 'pg_checksums');
    before(async () => {
      cluster = await TestCluster.create({ major });
      const space = join(cluster.socketDirectory, 'space');
      mkdirSync(space);
      giveToServer(space);
      await using session = await cluster.session();
      await session.query(`CREATE TABLESPACE space LOCATION '${space}'`);
      await session.query(`
        CREATE TABLE ledger (id int PRIMARY KEY, note text, tags int[]);
        CREATE INDEX ON ledger USING hash (note); CREATE INDEX ON ledger USING gin (tags);
        CREATE INDEX ON ledger USING brin (id); CREATE INDEX ON ledger USING spgist (note);
        ALTER TABLE ledger ALTER note SET STORAGE external;
        INSERT INTO ledger SELECT i, repeat(md5(i::text), 1 + i % 100), ARRAY[i % 9, i] FROM generate_series(1, 4000) AS i;
        CREATE UNLOGGED TABLE scratch AS SELECT * FROM ledger;
        CREATE TABLE there TABLESPACE space AS SELECT * FROM ledger LIMIT 1000`);
      await session.query('VACUUM');
      await cluster.stop();
      // a relation of more than 1 GiB, but for its first file's length
      for (const [name, firstBlock] of [
        ['90000', 0],
        ['90000.1', blocksOfFile],
        ['90000.31', 31 * blocksOfFile],
      ] as const) {
        const pages = readFileSync(join(cluster.dataDirectory, 'base/5/1259')).subarray(0, 4 * pageBytes);
        for (let i = 0; i < 4; i += 1) {
          const page = pages.subarray(i * pageBytes, (i + 1) * pageBytes);
          page.writeUInt16LE(pageChecksum(page, firstBlock + i), 8);
        }
        writeFileSync(join(cluster.dataDirectory, 'base/5', name), pages);
      }
    });
    after(async () => cluster[Symbol.asyncDispose]());

    it('are right on a sound cluster, in as many files and blocks as pg_checksums scans', () => {
      const ours = checkOurs(cluster.dataDirectory);
      assert.deepEqual(ours.bad, []);
      assert.deepEqual(ours, checkTheirs(program, cluster.dataDirectory));
      assert.ok(ours.blocks * pageBytes > 20_000_000, `${ours.blocks} blocks`);
    });

    it('are wrong on the same blocks where bits are flipped, pages swapped, lost or moved', () => {
      const files = relationFiles(cluster.dataDirectory).filter(
        (path) => statSync(join(cluster.dataDirectory, path)).size > 0,
      );
      const kept = new Map<string, Buffer>();
      const damage = (path: string, change: (bytes: Buffer, pages: number) => void): void => {
        const bytes = readFileSync(join(cluster.dataDirectory, path));
        if (!kept.has(path)) kept.set(path, Buffer.from(bytes));
        change(bytes, bytes.length / pageBytes);
        writeFileSync(join(cluster.dataDirectory, path), bytes);
      };
      const seed = Date.now() & 0x7fff_ffff;
      const flips = fc.sample(fc.tuple(fc.nat(), fc.nat(), fc.nat(pageBytes * 8 - 1)), { seed, numRuns: 60 });
      // half of them in page headers, where their meaning lies
      for (const [i, [file, block, bit]] of flips.entries()) {
        const path = files[file % files.length] ?? '';
        damage(path, (bytes, pages) => {
          const at = (block % pages) * pageBytes * 8 + (i % 2 === 0 ? bit % 192 : bit);
          bytes[at >> 3]! ^= 1 << (at & 7);
        });
      }
      damage('base/5/1259', (bytes) => {
        const second = Buffer.from(bytes.subarray(pageBytes, 2 * pageBytes));
        bytes.copyWithin(pageBytes, 2 * pageBytes, 3 * pageBytes);
        second.copy(bytes, 2 * pageBytes);
        bytes.fill(0, 3 * pageBytes, 4 * pageBytes);
        bytes.fill(0, 5 * pageBytes, 5 * pageBytes + 512);
      });
      damage('base/5/90000.1', (bytes) => bytes.copyWithin(0, 3 * pageBytes, 4 * pageBytes));
      const ours = checkOurs(cluster.dataDirectory);
      assert.ok(ours.bad.length > 40, `${ours.bad.length} bad blocks, seed ${seed}`);
      assert.deepEqual(ours, checkTheirs(program, cluster.dataDirectory), `seed ${seed}`);
      assert.ok(ours.bad.includes('base/5/1259:1') && ours.bad.includes('base/5/1259:2'));
      assert.ok(ours.bad.includes('base/5/90000.1:0'));
      for (const [path, bytes] of kept) writeFileSync(join(cluster.dataDirectory, path), bytes);
      assert.deepEqual(checkOurs(cluster.dataDirectory).bad, []);
    });
  });
}
