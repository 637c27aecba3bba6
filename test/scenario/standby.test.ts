import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { stopServer } from '../../src/server/stop-server.ts';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import type { TestCluster } from '../support/cluster.ts';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { eventually } from '../support/eventually.ts';

interface Created {
  readonly name: string;
  readonly slot: string;
  readonly source: string;
  readonly settings: readonly { readonly name: string; readonly applied: boolean }[];
  readonly started: { readonly streaming: boolean; readonly port: number; readonly socketDirectory: string } | null;
}

function codeOf(stdout: string): string {
  return (JSON.parse(stdout) as { error: { code: string } }).error.code;
}

/** A standby that `standby create --start` left running. */
class Standby implements AsyncDisposable {
  readonly directory: string;
  readonly port: number;
  readonly #primary: TestCluster;

  constructor(primary: TestCluster, directory: string, port: number) {
    this.#primary = primary;
    this.directory = directory;
    this.port = port;
  }

  async session(): Promise<SqlSession> {
    return SqlSession.connect(`host=${this.#primary.socketDirectory} port=${this.port} user=postgres`);
  }

  async stop(): Promise<void> {
    const { programs } = this.#primary;
    await stopServer({ programs, dataDirectory: this.directory, mode: 'fast', timeoutMs: 30_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

async function insert(cluster: TestCluster, text: string): Promise<void> {
  await using session = await cluster.session();
  await session.query('CREATE TABLE IF NOT EXISTS noted (text text)');
  await session.query('INSERT INTO noted VALUES ($1)', [text]);
}

/** Until the standby has that row. */
async function arrives(standby: Standby, text: string): Promise<void> {
  await using session = await standby.session();
  await eventually(`"${text}" is at the standby`, async () => {
    const [row] = await session.query<{ n: string }>('SELECT count(*)::text AS n FROM noted WHERE text = $1', [text]);
    return row?.n === '1';
  });
}

for (const major of [15, 18] as const) {
  describe(`standby create, PostgreSQL ${major}`, () => {
    it('makes one of the newest backup that streams, can be read, and has no password in its settings', async () => {
      await using primary = await archivingCluster(major);
      await using site = await ArchivingSite.of(primary);
      const directory = join(site.directory, 'standby');
      const words = ['standby', 'create', 'main', '--to', directory, '--port', '5433', '--start'];
      const without = site.run([...words, '--json']);
      assert.equal(without.status, 2);
      assert.equal(codeOf(without.stdout), 'backup-unknown');

      assert.equal(site.run(['backup', 'main']).status, 0);
      await insert(primary, 'after the backup');
      const taken = site.run(['standby', 'create', 'main', '--to', directory, '--start', '--json']);
      assert.equal(codeOf(taken.stdout), 'port-taken', taken.stderr);

      const planned = site.run([...words, '--plan']);
      assert.match(planned.stdout, /make the replication slot "standby_main_standby"/, planned.stderr);
      const made = site.run([...words, '--timeout', '60', '--json']);
      assert.equal(made.status, 0, made.stderr + made.stdout);
      await using standby = new Standby(primary, directory, 5433);
      const created = made.json() as Created;
      assert.equal(created.started?.streaming, true);
      assert.equal(created.source, 'repository');
      await arrives(standby, 'after the backup');
      await insert(primary, 'while it streams');
      await arrives(standby, 'while it streams');
      assert.doesNotMatch(readFileSync(join(directory, 'postgresql.auto.conf'), 'utf8'), /password/);

      const again = site.run([...words, '--json']);
      assert.equal(codeOf(again.stdout), 'target-not-empty');
      const other = ['standby', 'create', 'main', '--to', join(site.directory, 'other'), '--slot', created.slot];
      assert.equal(codeOf(site.run([...other, '--json']).stdout), 'slot');
    });
  });
}
