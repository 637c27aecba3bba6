import assert from 'node:assert/strict';
import { join } from 'node:path';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import { startServer } from '../../src/server/start-server.ts';
import { stopServer } from '../../src/server/stop-server.ts';
import type { CommandSite } from './command-site.ts';
import type { TestCluster } from './cluster.ts';
import { eventually } from './eventually.ts';

export interface Created {
  readonly name: string;
  readonly slot: string | null;
  readonly source: string;
  readonly settings: readonly { readonly name: string; readonly applied: boolean }[];
  readonly started: { readonly streaming: boolean; readonly port: number; readonly socketDirectory: string } | null;
}

export function codeOf(stdout: string): string {
  return (JSON.parse(stdout) as { error: { code: string } }).error.code;
}

export interface Status {
  readonly standbys: readonly {
    readonly name: string;
    readonly slot: string;
    readonly state: string;
    readonly syncState: string;
    readonly lagBytes: number;
    readonly lagSeconds: number;
    readonly replayLsn: string;
    readonly delaySeconds: number | null;
    readonly conflicts: number | null;
    readonly walStatus: string;
  }[];
  readonly slots: readonly { readonly name: string; readonly active: boolean; readonly walStatus: string }[];
  readonly warnings: readonly string[];
}

export function statusOf(site: CommandSite): Status {
  const answer = site.run(['standby', 'status', 'main', '--json']);
  assert.equal(answer.status, 0, answer.stderr);
  return answer.json() as Status;
}

/** A standby that `standby create --start` left running. */
export class Standby implements AsyncDisposable {
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

  /** Rows of `insert` with that text. */
  async count(text: string): Promise<number> {
    await using session = await this.session();
    const [row] = await session.query<{ n: string }>('SELECT count(*)::text AS n FROM noted WHERE text = $1', [text]);
    return Number(row?.n);
  }

  async start(): Promise<void> {
    await startServer({
      programs: this.#primary.programs,
      dataDirectory: this.directory,
      logFile: join(this.directory, '..', 'standby.log'),
      signal: AbortSignal.timeout(30_000),
    });
  }

  async stop(): Promise<void> {
    const { programs } = this.#primary;
    await stopServer({ programs, dataDirectory: this.directory, mode: 'fast', timeoutMs: 30_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export async function insert(cluster: TestCluster, text: string): Promise<void> {
  await using session = await cluster.session();
  await session.query('CREATE TABLE IF NOT EXISTS noted (text text)');
  await session.query('INSERT INTO noted VALUES ($1)', [text]);
}

/** Until the standby has that row. */
export async function arrives(standby: Standby, text: string): Promise<void> {
  await eventually(`"${text}" is at the standby`, async () => {
    try {
      return (await standby.count(text)) === 1;
    } catch (error) {
      // It takes no connections before it is consistent.
      if (hasCode(error, 'connection')) return false;
      throw error;
    }
  });
}
