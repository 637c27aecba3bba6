import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { readPostmasterPid } from '../../src/server/postmaster-pid.ts';
import { findPrograms, type Programs } from '../../src/server/programs.ts';
import { isServerRunning } from '../../src/server/running.ts';
import { startServer } from '../../src/server/start-server.ts';
import { stopServer } from '../../src/server/stop-server.ts';
import { makeDataDirectory } from './cluster-template.ts';
import { ServerGuard } from './server-guard.ts';
import { giveToServer } from './server-user.ts';
import { makeStandby } from './standby.ts';

export const majors = [14, 15, 16, 17, 18] as const;
export type Major = (typeof majors)[number];
type Settings = Readonly<Record<string, string>>;

export interface TestClusterOptions {
  readonly major: Major;
  /** 16 unless given. */
  readonly walSegmentMiB?: number;
  /** Written to postgresql.conf, after those of every test. */
  readonly settings?: Settings;
  /** On unless given. */
  readonly dataChecksums?: boolean;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;
const pollMs = 10;

/**
 * A real PostgreSQL for a test, which starts with it. It listens on a Unix socket in a directory of its own and nowhere
 * else, keeps trust authentication, has the superuser `postgres`, the time zone UTC, and fsync off. `await using`
 * stops it and removes what belongs to it; should the test's process die, `ServerGuard` does.
 */
export class TestCluster {
  readonly major: Major;
  readonly programs: Programs;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly port = 5432;
  readonly logFile: string;
  readonly #directory: string;
  readonly #override: Settings;

  private constructor(programs: Programs, directory: string, dataDirectory: string, override: Settings) {
    this.major = programs.major as Major;
    this.programs = programs;
    this.#directory = directory;
    this.dataDirectory = dataDirectory;
    this.socketDirectory = directory;
    this.logFile = join(directory, 'server.log');
    this.#override = override;
    guard().watch(dataDirectory);
  }

  /** A new cluster, started. */
  static async create(options: TestClusterOptions): Promise<TestCluster> {
    const programs = await testPrograms(options.major);
    const directory = ownDirectory();
    const dataDirectory = join(directory, 'data');
    const { walSegmentMiB = 16, dataChecksums = true } = options;
    makeDataDirectory({ programs, walSegmentMiB, dataChecksums }, join(testRoot(), 'templates'), dataDirectory);
    const cluster = new TestCluster(programs, directory, dataDirectory, {});
    cluster.configure({ ...testSettings, unix_socket_directories: directory, ...options.settings });
    return cluster.#started();
  }

  /**
   * A server on a directory that is there, for instance a restored one, started; it is not removed at the end. Its
   * sockets and the settings given are put on the command line, so that the directory stays as it is.
   */
  static async over(dataDirectory: string, major: Major, settings: Settings = {}): Promise<TestCluster> {
    const directory = ownDirectory();
    const override = { ...overSettings, unix_socket_directories: directory, ...settings };
    return new TestCluster(await testPrograms(major), directory, dataDirectory, override).#started();
  }

  /** A standby of a running cluster, started: it streams from it through a slot of its own. */
  static async standbyOf(primary: TestCluster, settings: Settings = {}): Promise<TestCluster> {
    const directory = ownDirectory();
    const dataDirectory = join(directory, 'data');
    const own = await makeStandby(primary, dataDirectory, join(directory, 'tablespaces'));
    const standby = new TestCluster(primary.programs, directory, dataDirectory, {});
    standby.configure({ ...own, unix_socket_directories: directory, ...settings });
    return standby.#started();
  }

  uri(database = 'postgres'): string {
    return `postgresql:///${database}?host=${encodeURIComponent(this.socketDirectory)}&port=${this.port}&user=postgres`;
  }

  async session(database?: string): Promise<SqlSession> {
    return SqlSession.connect(this.uri(database));
  }

  /** Appends to postgresql.conf; they count from the next start or reload. */
  configure(settings: Settings): void {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
    appendFileSync(join(this.dataDirectory, 'postgresql.conf'), lines.join(''));
  }

  /** Returns when it takes connections. Throws `server-start`, or an error with the log where it ended on the way. */
  async start(): Promise<void> {
    await startServer({
      programs: this.programs,
      dataDirectory: this.dataDirectory,
      logFile: this.logFile,
      signal: AbortSignal.timeout(startTimeoutMs),
      options: Object.entries(this.#override).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    });
    const deadline = performance.now() + startTimeoutMs;
    for (;;) {
      const status = readPostmasterPid(this.dataDirectory)?.status;
      // A standby without hot_standby takes no connections, ever.
      if (status === 'ready' || status === 'standby') return;
      if (!this.isRunning()) throw new Error(`the server ended while it started:\n${this.log()}`);
      if (performance.now() > deadline) throw new Error(`the server takes no connections:\n${this.log()}`);
      await sleep(pollMs);
    }
  }

  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const { programs, dataDirectory } = this;
    await stopServer({ programs, dataDirectory, mode, timeoutMs: stopTimeoutMs });
  }

  async restart(mode?: 'fast' | 'immediate'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  isRunning(): boolean {
    return isServerRunning(this.dataDirectory);
  }

  /** What it has logged since it was made. */
  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('immediate');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #started(): Promise<this> {
    try {
      await this.start();
      return this;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/** What keeps a server off the network and quick. */
const overSettings: Settings = { listen_addresses: '', port: '5432', fsync: 'off', logging_collector: 'off' };

const testSettings: Settings = {
  ...overSettings,
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] ',
  shared_buffers: '16MB',
};

let root: string | undefined;
let watching: ServerGuard | undefined;

/** The directory of this process, gone after it. Its name is short: a socket's path has 107 bytes at most. */
function testRoot(): string {
  if (root === undefined) {
    root = mkdtempSync(join(tmpdir(), 'pgr-'));
    // The servers' user has to pass through.
    chmodSync(root, 0o711);
  }
  return root;
}

function guard(): ServerGuard {
  watching ??= new ServerGuard(testRoot());
  return watching;
}

let made = 0;

function ownDirectory(): string {
  made += 1;
  const directory = join(testRoot(), String(made));
  mkdirSync(directory, { mode: 0o700 });
  giveToServer(directory);
  return directory;
}

/** Throws what to install where the version is missing: a test that needs it fails, it is not skipped. */
async function testPrograms(major: Major): Promise<Programs> {
  try {
    return await findPrograms({ major, env: process.env });
  } catch (error) {
    throw new Error(`this test needs PostgreSQL ${major}; sh scripts/setup.sh installs what tests need`, {
      cause: error,
    });
  }
}
