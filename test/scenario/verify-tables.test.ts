import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { Extent } from '../../src/repository/file-map.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { loadFile } from '../../src/restore/verify-walk.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite, type CommandResult } from '../support/command-site.ts';

/*
 * Damage as an administrator meets it: which tables of which database, in which backups; and what is not read again while it
 * was verified not long ago.
 */

interface Problem {
  readonly path: string;
  readonly code: string;
  readonly blocks?: readonly (readonly [number, number])[];
  readonly database?: string;
  readonly relation?: string;
}

interface Verdict {
  readonly ok: boolean;
  readonly packs: { readonly read: number; readonly known: number };
  readonly backups: readonly {
    readonly id: string;
    readonly ok: boolean;
    readonly damage: readonly Problem[];
    readonly tables: readonly { readonly database: string | null; readonly relation: string }[];
  }[];
  readonly wal: readonly { readonly segments: number; readonly known: number }[];
}

describe('a repository with the backups of a shop', () => {
  let site: CommandSite;
  let server: TestCluster;
  let ids: readonly [string, string];
  before(async () => {
    site = new CommandSite();
    server = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: { archive_mode: 'on' } });
    must(site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply']));
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE shop');
    }
    {
      await using session = await server.session('shop');
      await session.query(
        'CREATE TABLE rental AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 40000) n',
      );
      await session.query('CREATE TABLE customer AS SELECT n AS id FROM generate_series(1, 5000) n');
      await session.query('CREATE INDEX rental_id ON rental (id)');
      await session.query('CHECKPOINT');
    }
    const first = backUp();
    {
      await using session = await server.session('shop');
      // Every page of it is another one from now on.
      await session.query("UPDATE rental SET note = note || '!'");
      await session.query('VACUUM FULL rental');
    }
    ids = [first, backUp()];
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    site[Symbol.dispose]();
  });

  function must(result: CommandResult): CommandResult {
    assert.equal(result.status, 0, result.stdout + result.stderr);
    return result;
  }

  function backUp(): string {
    return (must(site.run(['backup', 'main', '--json'])).json() as { id: string }).id;
  }

  function verify(...words: readonly string[]): { readonly status: number | null; readonly verdict: Verdict } {
    const result = site.run(['verify', 'main', '--jobs', '1', '--json', ...words]);
    assert.equal(result.stderr.includes('error['), false, result.stderr);
    return { status: result.status, verdict: result.json() as Verdict };
  }

  /** Where a table lies in a backup. */
  async function extentsOf(id: string, relation: string): Promise<readonly Extent[]> {
    const files = site.run(['show', 'main', id, '--files', '--json']).json() as {
      files: { path: string; database?: string; relation?: string }[];
    };
    const path = files.files.find((file) => file.database === 'shop' && file.relation === relation)?.path;
    assert.ok(path !== undefined, `${relation} is in the backup by its name`);
    const repository = await openRepository(openStorage({ kind: 'local', directory: site.repository }));
    await using manifest = await repository.cluster('main').openManifest(id);
    for await (const entry of manifest.entries()) if (entry.path === path) return (await loadFile(entry)).extents;
    return [];
  }

  /** Flips a byte of the blob, does something, and flips it back. */
  async function whileFlipped(extent: Extent, act: () => void): Promise<void> {
    const path = site.object(`packs/${extent.pack}`);
    const flip = (): void => {
      const bytes = readFileSync(path);
      const at = extent.blob.offset + 20;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      site.give(path);
    };
    flip();
    try {
      act();
    } finally {
      flip();
    }
  }

  it('shows which tables are harmed in which backups, and which backups are untouched', async () => {
    const [one] = await extentsOf(ids[0], 'public.rental');
    assert.ok(one);
    await whileFlipped(one, () => {
      const { status, verdict } = verify();
      assert.equal(status, 3);
      assert.deepEqual(
        verdict.backups.map(({ id, ok }) => [id, ok]),
        [
          [ids[0], false],
          [ids[1], true],
        ],
        'the second one has the table anew',
      );
      const [harmed] = verdict.backups;
      assert.deepEqual(harmed?.tables, [{ database: 'shop', relation: 'public.rental' }]);
      const [problem] = harmed.damage;
      assert.deepEqual(
        [problem?.code, problem?.database, problem?.relation],
        ['blob-damaged', 'shop', 'public.rental'],
      );
      assert.deepEqual(problem?.blocks, [[0, one.lengthBytes / 8192 - 1]]);
      const text = site.run(['verify', 'main', '--jobs', '1']);
      assert.equal(text.status, 3);
      const last = one.lengthBytes / 8192 - 1;
      const place = `public\\.rental \\(base/\\d+/\\d+, blocks 0 - ${last}\\)`;
      assert.match(text.stdout, new RegExp(`harms in database shop: ${place}$`, 'm'));
      assert.match(text.stdout, new RegExp(`^ok +${ids[1]}: `, 'm'));
      assert.match(text.stderr, new RegExp(`untouched: ${ids[1]}\\)`));
    });

    const [shared] = await extentsOf(ids[1], 'public.customer');
    assert.ok(shared);
    await whileFlipped(shared, () => {
      const { verdict } = verify();
      for (const { ok, tables } of verdict.backups) {
        assert.deepEqual([ok, tables], [false, [{ database: 'shop', relation: 'public.customer' }]]);
      }
    });
    assert.equal(verify().status, 0);
  });

  it('is read where it is new or due, and only looked for where it was verified not long ago', async () => {
    must(site.run(['check', 'main', '--timeout', '240']));
    const all = verify().verdict;
    assert.ok(all.ok && all.packs.known === 0);
    const [wal] = all.wal;
    const [table] = await extentsOf(ids[1], 'public.rental');
    assert.ok(table && wal);
    await whileFlipped(table, () => {
      const again = verify('--since', '7d');
      assert.equal(again.status, 0, 'what was good is not read again');
      assert.deepEqual(again.verdict.packs, { read: 0, known: all.packs.read });
      assert.deepEqual(
        again.verdict.wal.map(({ segments, known }) => segments - known),
        [0],
      );
      assert.equal(verify().status, 3, 'without a period everything is');
      assert.equal(verify('--since', '7d').status, 3, 'and what was damaged is read until it is good');
    });
    assert.equal(verify('--since', '1 week').status, 0);

    const pack = site.object(`packs/${table.pack}`);
    const bytes = readFileSync(pack);
    truncateSync(pack, statSync(pack).size - 1);
    const shorter = verify('--since', '7d');
    assert.equal(shorter.status, 3);
    writeFileSync(pack, bytes);
    site.give(pack);
    assert.equal(verify('--since', '7d').status, 0);

    backUp();
    const { verdict } = verify('--since', '7d');
    assert.deepEqual([verdict.ok, verdict.packs.known], [true, all.packs.read]);
    assert.ok(verdict.packs.read > 0);

    const notes = site.object('verified');
    writeFileSync(notes, 'nothing of ours');
    site.give(notes);
    const anew = verify('--since', '7d');
    assert.deepEqual([anew.status, anew.verdict.packs.known], [0, 0], 'lost notes cost reading');
    const text = site.run(['verify', 'main', '--since', '7d']);
    assert.match(text.stdout, /pack\(s\) were verified before, and looked for/);
    assert.match(text.stdout, /segment\(s\), \d+ of them verified before/);

    const wrong = site.run(['verify', 'main', '--since', 'yesterday', '--json']);
    assert.equal(wrong.status, 2);
    assert.match((wrong.json() as { error: { message: string } }).error.message, /--since is "yesterday"/);
  });

  it('is verified by two at once, beside a backup', async () => {
    const done: Promise<number | null>[] = [];
    for (const words of [
      ['verify', 'main'],
      ['verify', 'main', '--since', '1h'],
      ['backup', 'main'],
    ]) {
      const child = site.start([...words, '--jobs', '1', '--json']);
      child.stdout?.resume();
      child.stderr?.resume();
      done.push(new Promise((resolve) => child.once('exit', resolve)));
    }
    assert.deepEqual(await Promise.all(done), [0, 0, 0]);
    assert.equal(verify('--since', '1h').status, 0);
  });
});
