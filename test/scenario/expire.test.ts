import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';
import { eventually } from '../support/eventually.ts';
import { giveToServer } from '../support/server-user.ts';
import { countingBytes } from '../support/test-repository.ts';

/* Backups that build on each other are expired one by one; the others restore as the cluster was. */

interface Expiry {
  readonly executed: boolean;
  readonly backups: readonly { id: string; stays: boolean; reasons: { rule: string; text: string }[] }[];
  readonly freed: { packs: number; bytes: number } | null;
  readonly wal: readonly { segments: number; untouched: string | null; kept: { from: string; to: string | null }[] }[];
  readonly notes: readonly string[];
}

interface List {
  readonly backups: readonly { id: string; type: string; keep: boolean; note: string; startLsn: string }[];
  readonly recoverable: readonly { fromLsn: string; toLsn: string }[];
  readonly gaps: readonly unknown[];
}

/** What a table has, in a word. */
async function stateOf(session: SqlSession): Promise<string> {
  const [row] = await session.query<{ state: string }>(
    `SELECT md5(string_agg(t::text, ',' ORDER BY id)) || ' ' || count(*) AS state FROM t`,
  );
  return row?.state ?? '';
}

describe('backups of every type, taken one after the other', () => {
  let server: TestCluster;
  let site: CommandSite;
  let session: SqlSession;
  /** The state at each backup. */
  const states = new Map<string, string>();
  const ids: string[] = [];
  const pick = (at: number): string => ids[at] ?? assert.fail(`no backup ${at}`);

  const run = <T>(status: number, ...words: readonly string[]): T => {
    const result = site.run([...words, '--json']);
    assert.equal(result.status, status, `${words.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.json() as T;
  };

  const backUp = async (type: string): Promise<void> => {
    const { id } = run<{ id: string }>(0, 'backup', 'main', '--type', type, '--jobs', '1');
    ids.push(id);
    states.set(id, await stateOf(session));
    await session.query('UPDATE t SET filler = md5(filler) WHERE id % 17 = $1', [ids.length % 17]);
    await session.query(`INSERT INTO t (filler) SELECT md5(i::text) FROM generate_series(1, 200) i`);
  };

  before(async () => {
    const settings = { archive_mode: 'on', autovacuum: 'off' };
    server = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings });
    site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply'];
    assert.equal(site.run(words).status, 0);
    session = await server.session();
    await session.query('CREATE TABLE t (id bigserial PRIMARY KEY, filler text)');
    await session.query(`INSERT INTO t (filler) SELECT md5(i::text) FROM generate_series(1, 20000) i`);
    for (const type of ['full', 'incremental', 'incremental', 'full', 'differential', 'incremental'])
      await backUp(type);
    assert.equal(site.run(['check', 'main']).status, 0);
  });
  after(async () => {
    await session.close();
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  let restores = 0;
  const restoredState = async (id: string): Promise<string> => {
    restores += 1;
    const directory = join(site.directory, `restored-${restores}`);
    mkdirSync(directory, { mode: 0o700 });
    giveToServer(directory);
    run(0, 'restore', 'main', '--to', directory, '--backup', id, '--target-immediate', '--target-action', 'promote');
    await using restored = await TestCluster.over(directory, 15);
    await using restoredSession = await restored.session();
    // Found by the index as well as by the table: neither is torn.
    await restoredSession.query('SET enable_seqscan = off');
    return await stateOf(restoredSession);
  };

  /** Restores these, and verifies everything. */
  const check = async (some: readonly string[]): Promise<void> => {
    const listed = run<List>(0, 'list', 'main');
    assert.deepEqual(listed.gaps, []);
    for (const id of some) assert.equal(await restoredState(id), states.get(id), id);
    const verified = site.run(['verify', 'main', '--jobs', '1']);
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
  };

  it('all stay where no rule is given, and a plan says so', () => {
    const plan = run<Expiry>(0, 'expire', 'main', '--plan');
    assert.equal(plan.executed, false);
    assert.ok(plan.backups.every(({ stays, reasons }) => stays && reasons[0]?.rule === 'no-rule'));
    assert.match(plan.wal[0]?.untouched ?? '', /there is no rule/);
    const done = run<Expiry>(0, 'expire', 'main');
    assert.deepEqual([done.executed, done.backups.length, done.freed?.packs], [true, 6, 0]);
  });

  it('restore alike when the first full one, on which the others build, is gone', async () => {
    const plan = run<Expiry>(0, 'expire', 'main', '--backup', pick(0), '--plan');
    assert.deepEqual(
      plan.backups.map(({ id, stays }) => [id, stays]),
      [[pick(0), false]],
    );
    assert.equal(run<List>(0, 'list', 'main').backups.length, 6, 'a plan touches nothing');
    run(0, 'expire', 'main', '--backup', pick(0));
    assert.deepEqual(
      run<List>(0, 'list', 'main').backups.map(({ id }) => id),
      ids.slice(1),
    );
    await check(ids.slice(1));
  });

  it('are kept, released and annotated', () => {
    run(0, 'keep', 'main', pick(2));
    run(0, 'annotate', 'main', pick(2), '--note', 'before the move');
    const kept = run<List>(0, 'list', 'main').backups.find(({ id }) => id === pick(2));
    assert.deepEqual([kept?.keep, kept?.note], [true, 'before the move']);
    const refused = run<{ error: { code: string } }>(1, 'expire', 'main', '--backup', pick(2));
    assert.equal(refused.error.code, 'backup-kept');
    assert.equal(run<{ changed: boolean }>(0, 'release', 'main', pick(1)).changed, false);
    assert.equal(site.run(['annotate', 'main', pick(2)]).status, 2);
  });

  it('are not touched while another expiry runs: exit 5', async () => {
    const storage = openStorage({ kind: 'local', directory: site.repository });
    const cluster = (await openRepository(storage)).cluster('main');
    const lock = { purpose: 'expire', now: () => new Date(), randomBytes: countingBytes('busy') };
    await using held = await cluster.lock('expire', lock);
    for (const path of ['locks', 'locks/expire']) site.give(site.object(path));
    void held;
    for (const words of [
      ['expire', 'main'],
      ['keep', 'main', pick(1)],
      ['expire', 'main', '--backup', pick(1)],
    ]) {
      assert.equal(run<{ error: { code: string } }>(5, ...words).error.code, 'locked');
    }
    assert.equal(site.run(['expire', 'main', '--plan']).status, 0, 'to look is allowed');
  });

  it('go by the rules, with the WAL that only they needed; what stays restores', async () => {
    appendFileSync(site.configFile, 'keep_full = 1\nkeep_wal = "0 days"\n');
    const segments = (): string[] =>
      readdirSync(site.object('wal/1/00000001'), { recursive: true, encoding: 'utf8' })
        .filter((name) => !name.endsWith('.backup'))
        .map((name) => name.split('/')[1]?.slice(0, 24) ?? '')
        .filter((name) => /^[0-9A-F]{24}$/.test(name));
    const before_ = segments();
    const plan = run<Expiry>(0, 'expire', 'main', '--plan');
    assert.deepEqual(
      plan.backups.map(({ id, stays, reasons }) => [id, stays, reasons.map(({ rule }) => rule)]),
      [
        [pick(1), false, ['none']],
        [pick(2), true, ['keep']],
        [pick(3), true, ['keep_full']],
        [pick(4), true, ['keep_full']],
        [pick(5), true, ['keep_full', 'keep_wal', 'newest']],
      ],
    );
    const text = site.run(['expire', 'main', '--plan']).stdout;
    assert.match(text, new RegExp(`^${pick(1)} .* goes {3}the one before it does not stay$`, 'm'));
    assert.match(text, /^WAL: \d+ segment\(s\) would go$/m);
    const done = run<Expiry>(0, 'expire', 'main');
    assert.deepEqual(done.backups, plan.backups);
    assert.deepEqual(done.wal, plan.wal);
    const after_ = segments();
    assert.ok((done.wal[0]?.segments ?? 0) > 0);
    assert.equal(before_.length - after_.length, done.wal[0]?.segments);
    const shown = run<{ startSegment: string; stopSegment: string }>(0, 'show', 'main', pick(2));
    const needed = before_.filter((name) => name >= shown.startSegment && name <= shown.stopSegment);
    assert.deepEqual(
      after_.filter((name) => name <= shown.stopSegment).toSorted(),
      needed.toSorted(),
      'a kept backup has its own WAL, and no more',
    );
    await check([pick(2), pick(3), pick(5)]);
  });

  it('are joined by others that build on them; the archiver goes on', async () => {
    await backUp('incremental');
    const done = run<Expiry>(0, 'expire', 'main');
    assert.ok(done.backups.every(({ stays }) => stays));
    assert.equal(site.run(['check', 'main']).status, 0);
    const { recoverable, gaps } = run<List>(0, 'list', 'main');
    assert.deepEqual(gaps, []);
    assert.ok(recoverable.length > 0);
    await check([pick(6)]);
  });

  it('go beside a running backup that builds on them, which is complete all the same', async () => {
    const state = await stateOf(session);
    const backup = site.start(['backup', 'main', '--type', 'incremental', '--jobs', '1', '--json']);
    let answer = '';
    backup.stdout?.on('data', (part) => (answer += String(part)));
    const ended = once(backup, 'close');
    await eventually('the lock of the backup', () => existsSync(site.object('locks/backup')));
    const done = run<Expiry>(0, 'expire', 'main', '--backup', pick(6));
    await ended;
    assert.equal(backup.exitCode, 0, answer);
    assert.ok(done.notes.length > 0, 'it met the backup');
    const { id } = JSON.parse(answer) as { id: string };
    states.set(id, state);
    ids[6] = id;
    await check([id]);
  });

  it('lose packs to nobody when all but the last are gone, and leave nothing behind', async () => {
    run(0, 'release', 'main', pick(2));
    for (const at of [3, 4, 5]) run(0, 'expire', 'main', '--backup', pick(at));
    run(0, 'expire', 'main');
    assert.deepEqual(
      run<List>(0, 'list', 'main').backups.map(({ id }) => id),
      [pick(6)],
    );
    await check([pick(6)]);
    const { packs } = run<{ packs: string[] }>(0, 'show', 'main', pick(6));
    assert.deepEqual(readdirSync(site.object('packs')).toSorted(), packs.toSorted());
    assert.deepEqual(readdirSync(site.object('backups')), [pick(6)]);
    assert.equal(run<{ error: { code: string } }>(1, 'expire', 'main', '--backup', pick(6)).error.code, 'backup-kept');
  });

  it('are left alone where one cannot be read: exit 3; by its name it goes', async () => {
    await backUp('full');
    const record = site.object(`backups/${pick(7)}/record.json`);
    const text = readFileSync(record, 'utf8');
    writeFileSync(record, text.replace('"format": 1', '"format": 7'));
    const result = site.run(['expire', 'main']);
    assert.equal(result.status, 3, result.stdout);
    assert.match(result.stderr, new RegExp(`${pick(7)} is not judged`));
    assert.match(result.stdout, /packs: left alone/);
    run(0, 'expire', 'main', '--backup', pick(7));
    assert.deepEqual(readdirSync(site.object('backups')), [pick(6)]);
    await check([]);
  });
});
