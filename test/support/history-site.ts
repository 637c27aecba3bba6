import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { catalogue } from '../../src/errors/catalogue.ts';
import { ArchivingSite, archivingSettings } from './archiving-site.ts';
import { checkWith } from './backup-rig.ts';
import { TestCluster, type Major } from './cluster.ts';
import { putToRest } from './cold-rig.ts';
import type { CommandResult } from './command-site.ts';
import { ReplayedTruth } from './replayed-truth.ts';
import { giveToServer, serverOwner } from './server-user.ts';

/** What `list --json` says of a backup, as far as it matters here. */
export interface ListedBackup {
  readonly id: string;
  readonly type: string;
  readonly temperature: 'hot' | 'cold';
  readonly timeline: number;
  readonly endLsn: string;
}

const settings = {
  ...archivingSettings,
  autovacuum: 'off',
  max_prepared_transactions: '20',
  max_wal_size: '64MB',
  min_wal_size: '5MB',
  wal_keep_size: '0',
  checkpoint_timeout: '1h',
};

/**
 * A cluster that archives through pgrecall, and puts WAL aside at the same time for what is compared with. Commands are
 * processes, which may be killed; of those that fail the error must be one of the catalogue, and no bug.
 */
export class HistorySite extends ArchivingSite {
  readonly cluster: TestCluster;
  readonly truth: ReplayedTruth;
  readonly #lose: string;

  private constructor(cluster: TestCluster) {
    super();
    this.cluster = cluster;
    this.truth = new ReplayedTruth(cluster, join(this.directory, 'truth'));
    this.#lose = join(this.directory, 'lose');
  }

  static async create(
    major: Major,
    options: { readonly dataChecksums: boolean; readonly encrypted: boolean },
  ): Promise<HistorySite> {
    const { dataChecksums, encrypted } = options;
    const cluster = await TestCluster.create({ major, walSegmentMiB: 1, settings, dataChecksums });
    const site = new HistorySite(cluster);
    const words = [
      '--connection',
      cluster.uri(),
      '--repository',
      site.repository,
      '--data-directory',
      cluster.dataDirectory,
    ];
    const secret = encrypted ? ['--passphrase-file', join(site.directory, 'passphrase'), '--generate-passphrase'] : [];
    site.done('init', 'main', ...words, ...secret, '--apply');
    const script = join(site.directory, 'archive');
    const ours = join(site.directory, 'pgrecall-state', 'main', 'archive-command');
    const lines = ['#!/bin/sh', `${site.truth.putAside} || exit 1`, `test -e '${site.#lose}' || exec '${ours}' "$@"`];
    writeFileSync(script, `${lines.join('\n')}\n`, { mode: 0o755 });
    await using session = await cluster.session();
    await session.query(`ALTER SYSTEM SET archive_command = '${script} "%p" %f'`);
    await session.query('SELECT pg_reload_conf()');
    return site;
  }

  /** Runs a command that has to succeed; its document. */
  done<T>(...words: readonly string[]): T {
    const result = this.run([...words, '--json']);
    assert.equal(result.status, 0, `${words.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.json() as T;
  }

  /** The same, while this process goes on. */
  async finished<T>(...words: readonly string[]): Promise<T> {
    const result = await this.#wait(this.start([...words, '--json']));
    assert.equal(result.status, 0, `${words.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.json() as T;
  }

  /** Runs a command that may fail, as one may; `undefined` where it did. */
  tried<T>(...words: readonly string[]): T | undefined {
    const result = this.run([...words, '--json']);
    if (result.status === 0) return result.json() as T;
    checkFailure(words, result);
    return undefined;
  }

  /** Starts a command and kills it in the middle, unless it was quicker. With `SIGTERM` it is asked to end. */
  async killed(afterMs: number, signal: 'SIGKILL' | 'SIGTERM', ...words: readonly string[]): Promise<void> {
    const child = this.start([...words, '--json']);
    const ended = this.#wait(child);
    await Promise.race([sleep(afterMs, undefined, { ref: false }), ended]);
    child.kill(signal);
    const result = await ended;
    if (result.status !== null && result.status !== 0 && result.stdout !== '') checkFailure(words, result);
  }

  async #wait(child: ChildProcess): Promise<CommandResult> {
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (part) => (stdout += String(part)));
    child.stderr?.on('data', (part) => (stderr += String(part)));
    await once(child, 'close');
    return { status: child.exitCode, stdout, stderr, json: () => JSON.parse(stdout) as unknown };
  }

  /** While something happens, nothing can be stored in this folder of the repository. */
  async readOnly<T>(folder: string, happens: () => Promise<T>): Promise<T> {
    const path = this.object(folder);
    if (!existsSync(path)) return happens();
    const { mode } = statSync(path);
    chmodSync(path, mode & 0o555);
    try {
      return await happens();
    } finally {
      chmodSync(path, mode & 0o777);
    }
  }

  backups(): readonly ListedBackup[] {
    const { backups, damaged } = this.done<{ backups: ListedBackup[]; damaged: unknown[] }>('list', 'main');
    assert.deepEqual(damaged, []);
    return backups;
  }

  /** While something happens, WAL is lost on the way to the repository. */
  async losingWal(happens: () => Promise<void>): Promise<void> {
    writeFileSync(this.#lose, '');
    await this.endProcesses();
    try {
      await happens();
      await this.archived(this.cluster);
    } finally {
      rmSync(this.#lose);
    }
  }

  /** Stops cleanly, changes something, and starts again; from here on the truth is replayed. */
  async whileStopped(change: () => Promise<void> | void = () => undefined): Promise<void> {
    await this.stop();
    await change();
    this.truth.beginHere();
    await this.cluster.start();
  }

  async stop(): Promise<void> {
    await putToRest(this.cluster);
  }

  /** One of PostgreSQL's programs, as the server's user; those that are missing do nothing. */
  runProgram(program: string, arguments_: readonly string[]): void {
    checkWith(this.cluster.major, program, arguments_, serverOwner());
  }

  /** A directory of the servers' user, empty. */
  place(name: string): string {
    const path = join(this.directory, name);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { mode: 0o700 });
    giveToServer(path);
    return path;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.endProcesses();
    await this.cluster[Symbol.asyncDispose]();
    this[Symbol.dispose]();
  }
}

function checkFailure(words: readonly string[], result: CommandResult): void {
  const said = `${words.join(' ')} (exit ${result.status}): ${result.stdout}${result.stderr}`;
  let code: unknown;
  try {
    code = (result.json() as { error?: { code?: unknown } }).error?.code;
  } catch {
    assert.fail(said);
  }
  assert.ok(typeof code === 'string' && code in catalogue && code !== 'bug', said);
}
