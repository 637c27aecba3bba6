import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WalStore } from '../../src/archive/wal-store.ts';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import type { Incarnation } from '../../src/repository/cluster-document.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import type { TestCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { countingBytes, noon } from './test-repository.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'pgrecall-receiving-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));

/** A `pgrecall wal receive` that runs. */
export class Receiver {
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
    await eventually(
      () => `the receiver says ${pattern}; it said: ${this.stderr}`,
      () => {
        if (pattern.test(this.stderr)) return true;
        assert.equal(this.#child.exitCode, null, `the receiver ended: ${this.stderr}${this.stdout}`);
        return false;
      },
    );
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
export class ReceivingSite {
  readonly directory = mkdtempSync(join(root, 's'));
  readonly configFile = join(this.directory, 'pgrecall.toml');
  readonly #repository: string;
  readonly #store: WalStore;
  #receivers: Receiver[] = [];

  private constructor(repository: string, store: WalStore) {
    this.#repository = repository;
    this.#store = store;
  }

  static async make(cluster: TestCluster, changes: Partial<Incarnation> = {}): Promise<ReceivingSite> {
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
    const site = new ReceivingSite(directory, new WalStore(clusterRepository, incarnation));
    site.configure(cluster);
    return site;
  }

  /** Where segments lie while they are received. */
  get receivingDirectory(): string {
    return join(this.directory, 'state', 'main', 'receiving', '1');
  }

  /** From now on receivers connect to that server. */
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

  /** Keys of the WAL in the repository, below the cluster's folder. */
  objects(): string[] {
    const directory = join(this.#repository, 'clusters', 'main');
    return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.startsWith('wal/'));
  }

  /** Names of the segments of which the whole or a beginning is in the repository. */
  storedNames(): ReadonlySet<string> {
    return new Set(this.objects().flatMap((key) => /\b([0-9A-F]{24})(?:\.partial)?-/.exec(key)?.[1] ?? []));
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
