import { execFileSync } from 'node:child_process';
import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { readPostmasterPid } from '../../src/server/postmaster-pid.ts';
import { findPrograms, type Programs } from '../../src/server/programs.ts';
import { startServer } from '../../src/server/start-server.ts';
import { stopServer } from '../../src/server/stop-server.ts';

const major = 15;
const startTimeoutMs = 120_000;
const stopTimeoutMs = 120_000;
const drainTimeoutMs = 300_000;

/** The cluster that everyone backs up: PostgreSQL 15 of Debian, reachable through a socket in its own directory only. */
export class SourceCluster {
  readonly programs: Programs;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly logFile: string;
  readonly port = 5432;

  private constructor(programs: Programs, directory: string) {
    this.programs = programs;
    this.dataDirectory = join(directory, 'source');
    this.socketDirectory = directory;
    this.logFile = join(directory, 'server.log');
  }

  /** One that was made there before. */
  static async at(directory: string): Promise<SourceCluster> {
    return new SourceCluster(await findPrograms({ major, env: process.env }), directory);
  }

  /** Makes it below `directory`, not started. Autovacuum is off, so that every contender finds the same files. */
  static async make(directory: string): Promise<SourceCluster> {
    const cluster = new SourceCluster(await findPrograms({ major, env: process.env }), directory);
    const { programs, dataDirectory } = cluster;
    const how = ['--data-checksums', '--username=postgres', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'];
    execFileSync(programs.initdb, [...how, '--pgdata', dataDirectory], { stdio: 'ignore' });
    const settings = {
      listen_addresses: '',
      unix_socket_directories: directory,
      port: String(cluster.port),
      shared_buffers: '512MB',
      maintenance_work_mem: '256MB',
      max_wal_size: '4GB',
      checkpoint_timeout: '1h',
      autovacuum: 'off',
      wal_level: 'replica',
      archive_mode: 'on',
      archive_command: 'true',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    appendFileSync(join(dataDirectory, 'postgresql.conf'), lines.join(''));
    return cluster;
  }

  /** `options`: for the server's command line. */
  async start(options: readonly string[] = []): Promise<void> {
    const { programs, dataDirectory, logFile } = this;
    const signal = AbortSignal.timeout(startTimeoutMs);
    await startServer({ programs, dataDirectory, logFile, signal, options });
    while (readPostmasterPid(dataDirectory)?.status !== 'ready') {
      signal.throwIfAborted();
      await sleep(50);
    }
  }

  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const { programs, dataDirectory } = this;
    await stopServer({ programs, dataDirectory, mode, timeoutMs: stopTimeoutMs });
  }

  get pid(): number | undefined {
    return readPostmasterPid(this.dataDirectory)?.pid;
  }

  /** What libpq takes from the environment to connect. */
  get clientEnvironment(): Record<string, string> {
    const { socketDirectory, port } = this;
    return { PGHOST: socketDirectory, PGPORT: String(port), PGUSER: 'postgres', PGDATABASE: 'postgres' };
  }

  get uri(): string {
    return `postgresql:///postgres?host=${encodeURIComponent(this.socketDirectory)}&port=${this.port}&user=postgres`;
  }

  async sql(...statements: readonly string[]): Promise<void> {
    await using session = await SqlSession.connect(this.uri);
    for (const statement of statements) await session.query(statement);
  }

  /** The one row of a query. */
  async one<T extends object>(query: string): Promise<T> {
    await using session = await SqlSession.connect(this.uri);
    const [row] = await session.query<T>(query);
    if (!row) throw new Error(`no row: ${query}`);
    return row;
  }

  /** What the server archives with. */
  async archiveCommand(): Promise<string> {
    return (await this.one<{ archive_command: string }>('SHOW archive_command')).archive_command;
  }

  /** Has the server archive with `command` from now on, once it has archived what it had before. */
  async archiveWith(command: string): Promise<void> {
    await this.drain();
    await this.sql(`ALTER SYSTEM SET archive_command = '${command.replaceAll("'", "''")}'`, 'SELECT pg_reload_conf()');
  }

  /** Waits until nothing waits to be archived. */
  async drain(): Promise<void> {
    const deadline = performance.now() + drainTimeoutMs;
    const waiting = (): string[] =>
      readdirSync(join(this.dataDirectory, 'pg_wal', 'archive_status')).filter((name) => name.endsWith('.ready'));
    while (waiting().length > 0) {
      if (performance.now() > deadline) throw new Error(`the server does not archive: see ${this.logFile}`);
      await sleep(100);
    }
  }

  /** Runs a program of PostgreSQL against it, for instance pgbench. */
  client(program: string, arguments_: readonly string[], env: Readonly<Record<string, string>> = {}): void {
    execFileSync(join(this.programs.binDirectory, program), arguments_, {
      env: { ...process.env, ...this.clientEnvironment, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }
}
