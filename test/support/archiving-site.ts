import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WalStore } from '../../src/archive/wal-store.ts';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { isHistoryName, isSegmentName } from '../../src/postgres/segment-name.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import { TestCluster, type Major } from './cluster.ts';
import { CommandSite } from './command-site.ts';
import { eventually } from './eventually.ts';

/** What a cluster needs for `init --apply` to make it archive at once, without a restart. */
export const archivingSettings = {
  wal_level: 'replica',
  archive_mode: 'on',
  archive_timeout: '60s',
  max_wal_senders: '5',
  wal_keep_size: '512MB',
  max_wal_size: '1GB',
};

export async function archivingCluster(major: Major, settings: Record<string, string> = {}): Promise<TestCluster> {
  return TestCluster.create({ major, walSegmentMiB: 1, settings: { ...archivingSettings, ...settings } });
}

/** About so many segments of 1 MiB. */
export async function fill(session: SqlSession, segments: number): Promise<void> {
  await session.query('CREATE TABLE IF NOT EXISTS filled (number int, text text)');
  for (let i = 0; i < segments; i += 1) {
    await session.query('INSERT INTO filled SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 2500) i');
  }
}

/** A site whose server archives through the script that `init` makes. */
export class ArchivingSite extends CommandSite {
  /** Registers the cluster as "main" and has it archive. */
  static async of(cluster: TestCluster): Promise<ArchivingSite> {
    const site = new ArchivingSite();
    const words = ['--connection', cluster.uri(), '--repository', site.repository];
    const made = site.run(['init', 'main', ...words, '--apply']);
    assert.equal(made.status, 0, made.stderr);
    return site;
  }

  get stateDirectory(): string {
    return join(this.directory, 'pgrecall-state', 'main');
  }

  get script(): string {
    return join(this.stateDirectory, 'archive-command');
  }

  async store(): Promise<WalStore> {
    const repository = await openRepository(openStorage({ kind: 'local', directory: this.repository }));
    const cluster = repository.cluster('main');
    const incarnation = (await cluster.readCluster())?.incarnations.at(-1);
    assert.ok(incarnation, 'the cluster is registered');
    return new WalStore(cluster, incarnation);
  }

  /** The process of the archiver that works ahead; `undefined` where none does. */
  archiverPid(): number | undefined {
    const path = join(this.stateDirectory, 'archiver', 'pid');
    const pid = existsSync(path) ? Number.parseInt(readFileSync(path, 'utf8'), 10) : 0;
    return pid > 0 && isAlive(pid) ? pid : undefined;
  }

  /** Processes of pgrecall that were started with this site's configuration and these words. */
  processes(...words: readonly string[]): number[] {
    const found: number[] = [];
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const command = commandLineOf(Number(name));
      const isOurs = command[0]?.endsWith('node') === true && command.includes(this.configFile);
      if (isOurs && words.every((word) => command.includes(word))) found.push(Number(name));
    }
    return found;
  }

  /** Finishes the present segment and waits until the server has archived everything. */
  async archiveAll(cluster: TestCluster): Promise<void> {
    {
      await using session = await cluster.session();
      await session.query('CREATE TABLE IF NOT EXISTS switched (at timestamptz)');
      await session.query('INSERT INTO switched VALUES (now())');
      await session.query('SELECT pg_switch_wal()');
    }
    await this.archived(cluster);
  }

  /** Waits until nothing waits to be archived. */
  async archived(cluster: TestCluster): Promise<void> {
    await eventually(
      () => `everything is archived; there wait ${readyNames(cluster).join(', ')}:\n${cluster.log().slice(-3000)}`,
      () => readyNames(cluster).length === 0,
    );
  }

  /** Every segment that the server has archived and still has is the same in the repository; how many there are. */
  async compare(cluster: TestCluster): Promise<number> {
    const store = await this.store();
    const done = statusNames(cluster, '.done').filter((name) => isSegmentName(name) || isHistoryName(name));
    let compared = 0;
    for (const name of done) {
      const path = join(cluster.dataDirectory, 'pg_wal', name);
      if (!existsSync(path)) continue;
      const stored = await store.get(name);
      assert.ok(stored && readFileSync(path).equals(stored), `${name} differs from the server’s`);
      compared += 1;
    }
    return compared;
  }

  /** Ends every process that was started with this configuration. */
  async endProcesses(): Promise<void> {
    for (let pids = this.processes(); pids.length > 0; pids = this.processes()) {
      for (const pid of pids) kill(pid);
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endProcesses();
    this[Symbol.dispose]();
  }
}

/** Of the files that wait to be archived. */
export function readyNames(cluster: TestCluster): string[] {
  return statusNames(cluster, '.ready');
}

function statusNames(cluster: TestCluster, suffix: string): string[] {
  return readdirSync(join(cluster.dataDirectory, 'pg_wal', 'archive_status'))
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length))
    .toSorted();
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
