import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ArchivingSite, archivingCluster } from '../support/archiving-site.ts';
import type { TestCluster } from '../support/cluster.ts';
import type { CommandResult } from '../support/command-site.ts';
import { differingFiles, everyFile } from '../support/every-file.ts';

/*
 * pgrecall recover is killed right after each writing of its journal, which is the begin or the end of a step. Then --undo brings
 * back what was there, to the byte, or --continue goes on to the same end.
 */

const killAt = fileURLToPath(new URL('../support/kill-at.ts', import.meta.url));

const journal = 'pgrecall-recovery/journal.json';

class Site implements AsyncDisposable {
  readonly server: TestCluster;
  readonly site: ArchivingSite;
  #moment = '';

  private constructor(server: TestCluster, site: ArchivingSite) {
    this.server = server;
    this.site = site;
  }

  static async create(): Promise<Site> {
    const server = await archivingCluster(15, { archive_timeout: '0' });
    const made = new Site(server, await ArchivingSite.of(server));
    await made.#session('CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n');
    assert.equal(made.site.run(['backup', 'main']).status, 0);
    await made.#session('INSERT INTO t VALUES (1001)');
    made.#moment = await made.#session('SELECT clock_timestamp()::text');
    await made.#session('SELECT pg_sleep(0.05)');
    await made.#session('UPDATE t SET n = 0');
    return made;
  }

  async #session(statement: string): Promise<string> {
    await using session = await this.server.session();
    const [row] = await session.query<Record<string, unknown>>(statement);
    return String(Object.values(row ?? {})[0]);
  }

  async insert(n: number): Promise<void> {
    await this.#session(`INSERT INTO t VALUES (${n})`);
  }

  async sum(): Promise<string> {
    return this.#session("SELECT count(*) || ' ' || sum(n) FROM t");
  }

  get directory(): string {
    return this.server.dataDirectory;
  }

  get begin(): readonly string[] {
    return ['recover', 'main', '--target-time', this.#moment, '--yes'];
  }

  /** Kills it after that many writings; with 0 it comes to its end. What the journal was, each time. */
  killed(
    words: readonly string[],
    count: number,
    file = journal,
  ): { readonly result: CommandResult; readonly written: readonly string[] } {
    const log = this.site.secret('journals', '');
    const result = this.site.run(words, {
      env: {
        NODE_OPTIONS: `--import ${killAt}`,
        ...{ KILL_AT_FILE: file, KILL_AT_COUNT: String(count), KILL_AT_LOG: log },
      },
    });
    const written = readFileSync(log, 'utf8').split('\n').slice(0, -1);
    return { result, written };
  }

  succeed(...words: readonly string[]): void {
    const result = this.site.run(words);
    assert.equal(result.status, 0, `${words.join(' ')}: ${result.stdout}${result.stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.site[Symbol.asyncDispose]();
  }
}

function stepOf(line: string | undefined): string {
  const { begun, done } = JSON.parse(line ?? '{}') as { begun: string | null; done: readonly string[] };
  return `${begun ?? '-'} after ${done.at(-1) ?? 'nothing'}`;
}

describe('recover, killed', () => {
  it('is undone to the byte, wherever it was', async () => {
    await using site = await Site.create();
    await site.server.stop();
    const before = everyFile(site.directory);
    const places: string[] = [];
    for (let count = 1; ; count += 1) {
      const { result, written } = site.killed(site.begin, count);
      if (result.status === 0) break;
      places.push(stepOf(written.at(-1)));
      assert.ok(written.length === count, `it was killed: ${result.stderr}`);
      // Of some the undo, too, right after it has begun.
      if (count % 3 === 0) assert.notEqual(site.killed(['recover', 'main', '--undo'], 1).result.status, 0);
      site.succeed('recover', 'main', '--undo');
      assert.deepEqual(differingFiles(everyFile(site.directory), before), [], places.at(-1));
      assert.ok(!existsSync(`${site.directory}.pgrecall-recovery`));
    }
    for (const step of ['stop', 'push', 'keep', 'restore', 'configure', 'start', 'promote', 'reopen']) {
      assert.ok(
        places.some((place) => place.startsWith(`${step} after`)),
        `killed in ${step}: ${places.join(', ')}`,
      );
    }
    assert.equal(await site.sum(), '1001 501501');
    // As of an undo that was killed while it removed what was recovered.
    await site.server.stop();
    rmSync(`${site.directory}/pg_wal`, { recursive: true });
    const undone = site.site.run(['recover', 'main', '--undo']);
    assert.equal(undone.status, 0, undone.stderr);
    assert.match(undone.stderr, /what was committed since may not be in the repository/);
    assert.deepEqual(differingFiles(everyFile(site.directory), before), []);
    // In the middle of steps: half restored, half configured.
    for (const file of ['/kept', '/backup_label', '/postgresql.conf', '/postgresql.auto.conf']) {
      assert.notEqual(site.killed(site.begin, 1, file).result.status, 0, file);
      site.succeed('recover', 'main', '--undo');
      assert.deepEqual(differingFiles(everyFile(site.directory), before), [], file);
    }
  });

  it('stops a server that was started meanwhile, and keeps what it has written since', async () => {
    await using site = await Site.create();
    await site.server.stop();
    const { written } = site.killed(site.begin, 8);
    const { begun, moves } = JSON.parse(written.at(-1) ?? '{}') as { begun: string; moves: readonly unknown[] };
    assert.deepEqual([begun, moves.length], ['keep', 1]);
    // As a unit does at boot.
    await site.server.start();
    await site.insert(5);
    site.succeed('recover', 'main', '--continue', '--yes');
    assert.equal(await site.sum(), '1001 501501');
    site.succeed('recover', 'main', '--undo');
    await site.server.start();
    assert.equal(await site.sum(), '1002 5');
  });

  it('goes on to the same end, killed again and again', async () => {
    await using site = await Site.create();
    let killed = 0;
    for (let words = site.begin; ; words = ['recover', 'main', '--continue', '--yes']) {
      // A step writes twice, some once more in between: each run does one at least.
      const { result } = site.killed(words, 3);
      if (result.status === 0) break;
      assert.notEqual(result.status, 1, result.stderr);
      killed += 1;
      assert.ok(killed < 40);
    }
    assert.ok(killed > 5);
    assert.equal(await site.sum(), '1001 501501');
    // Half of the old directory may be gone: it is not brought back any more.
    assert.notEqual(site.killed(['recover', 'main', '--forget'], 1).result.status, 0);
    const refused = site.site.run(['recover', 'main', '--undo']);
    assert.match(refused.stderr, /not whole any more.*--forget goes on/s);
    assert.equal(await site.sum(), '1001 501501');
    site.succeed('recover', 'main', '--forget');
    assert.ok(!existsSync(`${site.directory}.pgrecall-recovery`));
  });
});
