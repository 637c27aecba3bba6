import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { WalStore } from '../../src/archive/wal-store.ts';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { formatLsn, parseLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import type { Incarnation } from '../../src/repository/cluster-document.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import { indexSegment } from '../../src/wal/index-segment.ts';
import { TestCluster } from '../support/cluster.ts';
import { countingBytes, noon } from '../support/test-repository.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'pgrecall-receiving-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Waits until something is so; a test that waits in vain says for what. */
async function eventually(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what}`);
    await sleep(20);
  }
}

/** A `pgrecall wal receive` that runs. */
class Receiver {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  stdout = '';
  stderr = '';

  constructor(configFile: string, options: readonly string[]) {
    const arguments_ = [main, '--config', configFile, '--json', 'wal', 'receive', 'main', ...options];
    this.#child = spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (text: Buffer) => (this.stdout += text.toString()));
    this.#child.stderr?.on('data', (text: Buffer) => (this.stderr += text.toString()));
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', (status) => resolve(status));
    });
  }

  async says(pattern: RegExp): Promise<void> {
    await eventually(`the receiver says ${pattern}; it said: ${this.stderr}`, () => {
      if (pattern.test(this.stderr)) return true;
      assert.equal(this.#child.exitCode, null, `the receiver ended: ${this.stderr}${this.stdout}`);
      return false;
    });
  }

  /** The segments that it says are stored. */
  stored(): readonly string[] {
    return [...this.stderr.matchAll(/^stored ([0-9A-F]{24})$/gm)].map(([, name = '']) => name);
  }

  async status(): Promise<number | null> {
    return this.#ended;
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    return this.#ended;
  }
}

/** A repository with one cluster, a configuration, and receivers for it. */
class Site {
  readonly directory = mkdtempSync(join(root, 's'));
  readonly configFile = join(this.directory, 'pgrecall.toml');
  readonly #repository: string;
  readonly #store: WalStore;
  #receivers: Receiver[] = [];

  private constructor(repository: string, store: WalStore) {
    this.#repository = repository;
    this.#store = store;
  }

  static async make(cluster: TestCluster, changes: Partial<Incarnation> = {}): Promise<Site> {
    await using session = await cluster.session();
    const [facts] = await session.query<{ id: string; bytes: string }>(
      `SELECT system_identifier::text AS id, (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size') AS bytes
       FROM pg_control_system()`,
    );
    const incarnation: Incarnation = {
      number: 1,
      systemIdentifier: facts?.id ?? '',
      postgresMajor: session.major,
      segmentBytes: Number(facts?.bytes),
      since: noon().toISOString(),
      ...changes,
    };
    const directory = mkdtempSync(join(root, 'r'));
    const repository = await createRepository(openStorage({ kind: 'local', directory }), {
      randomBytes: countingBytes(),
      now: noon,
    });
    const clusterRepository = repository.cluster('main');
    await clusterRepository.writeCluster({ name: 'main', incarnations: [incarnation] });
    const site = new Site(directory, new WalStore(clusterRepository, incarnation));
    site.configure(cluster);
    return site;
  }

  configure(cluster: TestCluster): void {
    const lines = [
      `repository = "${this.#repository}"`,
      `state_directory = "${join(this.directory, 'state')}"`,
      '[clusters.main]',
      `connection = "${cluster.uri()}"`,
    ];
    writeFileSync(this.configFile, `${lines.join('\n')}\n`);
  }

  get store(): WalStore {
    return this.#store;
  }

  /** Names of the segments of which the whole or a beginning is in the repository, as its directory has them. */
  storedNames(): ReadonlySet<string> {
    const directory = join(this.#repository, 'clusters', 'main');
    const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.startsWith('wal/'),
    );
    return new Set(names.flatMap((name) => /\b([0-9A-F]{24})(?:\.partial)?-/.exec(name)?.[1] ?? []));
  }

  receive(...options: readonly string[]): Receiver {
    const receiver = new Receiver(this.configFile, options);
    this.#receivers.push(receiver);
    return receiver;
  }

  /** Every segment of the repository that the server still has is the same there; returns how many were compared. */
  async compareWithServer(dataDirectory: string): Promise<number> {
    let compared = 0;
    for (const name of readdirSync(join(dataDirectory, 'pg_wal')).filter(isSegmentName)) {
      const stored = await this.#store.getSegment(name);
      if (!stored) continue;
      const served = readFileSync(join(dataDirectory, 'pg_wal', name));
      assert.ok(served.equals(stored), `${name} differs from the server's`);
      compared += 1;
    }
    return compared;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const receiver of this.#receivers) await receiver.stop('SIGKILL');
  }
}

const settings = { wal_keep_size: '64MB', max_wal_senders: '5', wal_level: 'replica', synchronous_commit: 'on' };

async function write(session: SqlSession, rows: number): Promise<void> {
  await session.query('CREATE TABLE IF NOT EXISTS filled (number int, text text)');
  await session.query(`INSERT INTO filled SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, ${rows}) i`);
}

async function position(session: SqlSession): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  return parseLsn(rows[0]?.lsn ?? '');
}

/** Until the server knows that the receiver has everything before `lsn` on disk. */
async function flushed(session: SqlSession, lsn: Lsn): Promise<void> {
  await eventually(`the receiver flushes ${formatLsn(lsn)}`, async () => {
    const rows = await session.query<{ ok: boolean }>(
      "SELECT flush_lsn >= $1::pg_lsn AS ok FROM pg_stat_replication WHERE application_name = 'pgrecall_main'",
      [formatLsn(lsn)],
    );
    return rows[0]?.ok ?? false;
  });
}

for (const major of [14, 15, 16, 17, 18] as const) {
  describe(`receiving WAL from PostgreSQL ${major}`, () => {
    it('makes its slot and stores what the server writes, byte for byte', async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await Site.make(cluster);
      await using session = await cluster.session();
      const receiver = site.receive();
      await receiver.says(/made the replication slot "pgrecall_main"/);
      await write(session, 8000);
      const end = await position(session);
      await flushed(session, end);
      assert.equal(await receiver.stop(), 0, receiver.stderr);
      const result = JSON.parse(receiver.stdout) as { slot: string; flushedLsn: string; segmentsStored: number };
      assert.equal(result.slot, 'pgrecall_main');
      assert.ok(parseLsn(result.flushedLsn) >= end, `${result.flushedLsn} is before ${formatLsn(end)}`);
      const compared = await site.compareWithServer(cluster.dataDirectory);
      assert.ok(compared >= 2 && compared <= result.segmentsStored, `${compared} segments compared`);
      const [slot] = await session.query<{ active: boolean; slot_type: string }>(
        "SELECT active, slot_type FROM pg_replication_slots WHERE slot_name = 'pgrecall_main'",
      );
      assert.deepEqual({ ...slot }, { active: false, slot_type: 'physical' });
    });

    it('loses nothing that was committed when the server and its disk are destroyed', async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await Site.make(cluster);
      await using session = await cluster.session();
      const receiver = site.receive();
      await receiver.says(/receiving from/);
      await session.query("ALTER SYSTEM SET synchronous_standby_names = 'pgrecall_main'");
      await session.query('SELECT pg_reload_conf()');
      await eventually('the receiver is a synchronous standby', async () => {
        const rows = await session.query<{ state: string }>('SELECT sync_state AS state FROM pg_stat_replication');
        return rows[0]?.state === 'sync';
      });
      await session.query('CREATE TABLE precious (n int)');
      const xids: number[] = [];
      for (let n = 0; n < 20; n += 1) {
        const rows = await session.query<{ xid: string }>(
          'INSERT INTO precious VALUES ($1) RETURNING pg_current_xact_id()::text AS xid',
          [n],
        );
        xids.push(Number(rows[0]?.xid));
      }
      // The moment the last commit returned: the receiver dies with the server.
      await Promise.all([receiver.stop('SIGKILL'), cluster.stop('immediate')]);
      rmSync(cluster.dataDirectory, { recursive: true, force: true });
      const late = site.receive();
      assert.equal(await late.status(), 1, 'there is no server any more');
      assert.match(late.stdout, /"code": "connection"/);
      const found = await committedIn(site);
      for (const xid of xids) assert.ok(found.has(xid), `transaction ${xid} was committed and is lost`);
    });

    it('follows a standby through its promotion, to the new timeline', async () => {
      await using primary = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await Site.make(primary);
      await using before = await primary.session();
      await write(before, 3000);
      await using standby = await TestCluster.standbyOf(primary);
      site.configure(standby);
      const receiver = site.receive();
      // A slot on a standby keeps WAL from its last restart point on.
      await receiver.says(/receiving from .* on timeline 1/);
      await write(before, 3000);
      await primary.stop();
      await using session = await standby.session();
      await session.query('SELECT pg_promote()');
      await receiver.says(/timeline 1 ended at .*; WAL goes on with timeline 2/);
      await write(session, 3000);
      await flushed(session, await position(session));
      assert.equal(await receiver.stop(), 0, receiver.stderr);
      const names = [...site.storedNames()];
      for (const start of ['00000001', '00000002']) {
        assert.ok(
          names.some((name) => name.startsWith(start)),
          `${start} in ${names.join(' ')}`,
        );
      }
      const history = await site.store.getHistory('00000002.history');
      assert.ok(history?.length, 'the history of timeline 2 is in the repository');
      assert.ok((await site.compareWithServer(standby.dataDirectory)) >= 2);
    });

    it('goes on where it was killed, and stores each segment once', async () => {
      await using cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings });
      await using site = await Site.make(cluster);
      await using session = await cluster.session();
      const killed = site.receive();
      await killed.says(/receiving from/);
      await write(session, 8000);
      await killed.says(/stored 0/);
      await killed.stop('SIGKILL');
      await write(session, 8000);
      const late = site.receive();
      await late.says(/receiving from/);
      await flushed(session, await position(session));
      assert.equal(await late.stop(), 0, late.stderr);
      const again = killed.stored().filter((name) => late.stored().includes(name));
      assert.deepEqual(again, []);
      assert.ok((await site.compareWithServer(cluster.dataDirectory)) >= 4);
    });
  });
}

describe('a receiver that is refused', () => {
  it('does not take the WAL of another cluster under the same name', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    await using other = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    await using site = await Site.make(cluster);
    site.configure(other);
    const receiver = site.receive();
    assert.equal(await receiver.status(), 1);
    assert.match(receiver.stdout, /"code": "wal-other-cluster"/);
    assert.equal(site.storedNames().size, 0);
  });

  it('does not run beside another of the same cluster', async () => {
    await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1 });
    await using site = await Site.make(cluster);
    const first = site.receive();
    await first.says(/receiving from/);
    const second = site.receive();
    assert.equal(await second.status(), 5, second.stderr);
    assert.match(second.stdout, /"code": "locked"/);
    assert.equal(await first.stop(), 0, first.stderr);
  });
});

/** The transactions whose commits are in the repository, in whole segments and in beginnings of segments. */
async function committedIn(site: Site): Promise<Set<number>> {
  const found = new Set<number>();
  const note = (bytes: Uint8Array | undefined, partial: boolean): void => {
    if (!bytes) return;
    for (const { xid, kind } of indexSegment(bytes, { partial }).commits) if (kind === 'commit') found.add(xid);
  };
  for (const name of site.storedNames()) {
    note(await site.store.getSegment(name), false);
    note(await site.store.getPartial(name), true);
  }
  return found;
}
