import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { announcement } from './announced-process.ts';
import { fileIdentity } from './archive-command.ts';
import { runArchiver, type ArchiveEvent, type ArchiverOptions, type ArchiveResult } from './archiver.ts';
import type { PushedFile } from './push-file.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-archiver-'));
after(() => rmSync(root, { recursive: true, force: true }));

const nameOf = (number: number): string => `0000000100000000${number.toString(16).toUpperCase().padStart(8, '0')}`;

async function eventually(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isSo()) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what}`);
    await sleep(5);
  }
}

/** A pg_wal in which files wait, and an archiver for it. */
class Site {
  readonly directory = mkdtempSync(join(root, 's'));
  readonly walDirectory = join(this.directory, 'pg_wal');
  readonly acknowledgements = new Acknowledgements(join(this.directory, 'state'));
  readonly events: ArchiveEvent[] = [];
  readonly pushed: string[] = [];
  readonly abort = new AbortController();
  /** What becomes of a file that is pushed; stored unless set. */
  answer: (name: string) => Promise<PushedFile['stored']> = async () => 'stored';
  now = 0;
  most = 0;

  constructor() {
    mkdirSync(join(this.walDirectory, 'archive_status'), { recursive: true });
  }

  finish(...names: readonly string[]): void {
    for (const name of names) {
      writeFileSync(join(this.walDirectory, name), name);
      writeFileSync(join(this.walDirectory, 'archive_status', `${name}.ready`), '');
    }
  }

  /** As the server does when archive_command has said yes. */
  done(name: string): void {
    const status = join(this.walDirectory, 'archive_status', name);
    renameSync(`${status}.ready`, `${status}.done`);
  }

  acknowledged(): string[] {
    return readdirSync(join(this.acknowledgements.directory, 'ok')).toSorted();
  }

  async run(options: Partial<ArchiverOptions> = {}): Promise<ArchiveResult> {
    return runArchiver({
      walDirectory: this.walDirectory,
      acknowledgements: this.acknowledgements,
      push: async (name, path) => {
        this.pushed.push(name);
        this.now += 1;
        this.most = Math.max(this.most, this.now);
        try {
          const stored = await this.answer(name);
          return { stored, identity: fileIdentity(statSync(path)) };
        } finally {
          this.now -= 1;
        }
      },
      parallel: 2,
      report: (event) => this.events.push(event),
      signal: this.abort.signal,
      once: false,
      idleExitMs: undefined,
      ...options,
    });
  }
}

describe('the archiver', () => {
  it('stores everything that waits, histories first, so many at a time, and acknowledges each', async () => {
    const site = new Site();
    const names = [1, 2, 3, 4, 5].map(nameOf);
    site.finish(...names, '00000002.history', `${nameOf(3)}.00000028.backup`, `${nameOf(9)}.partial`);
    writeFileSync(join(site.walDirectory, 'archive_status', 'README.ready'), '');
    writeFileSync(join(site.walDirectory, 'archive_status', `${nameOf(8)}.done`), '');
    site.answer = async (name) => {
      await sleep(5);
      return name === nameOf(2) ? 'already-there' : 'stored';
    };
    const result = await site.run({ once: true });
    assert.deepEqual(result, { stored: 7, alreadyThere: 1 });
    assert.equal(site.pushed[0], '00000002.history');
    assert.deepEqual(site.pushed.slice(1), site.pushed.slice(1).toSorted());
    assert.equal(site.most, 2);
    assert.equal(site.acknowledged().length, 8);
    const line = readFileSync(join(site.acknowledgements.directory, 'ok', nameOf(1)), 'utf8');
    assert.equal(line, `${fileIdentity(statSync(join(site.walDirectory, nameOf(1))))}\n`);
  });

  it('takes what comes while it runs, and forgets what the server has taken note of', async () => {
    const site = new Site();
    const running = site.run();
    await eventually('it announces itself', () => existsSync(join(site.acknowledgements.directory, 'pid')));
    assert.equal(readFileSync(join(site.acknowledgements.directory, 'pid'), 'utf8'), announcement(process.pid));
    site.finish(nameOf(1));
    await eventually('1 is acknowledged', () => site.acknowledged().includes(nameOf(1)));
    site.done(nameOf(1));
    site.finish(nameOf(2));
    await eventually('2 is, and 1 is forgotten', () => site.acknowledged().join() === nameOf(2));
    site.abort.abort();
    assert.deepEqual(await running, { stored: 2, alreadyThere: 0 });
    assert.ok(!existsSync(join(site.acknowledgements.directory, 'pid')));
  });

  it('believes no acknowledgement of an earlier archiver', async () => {
    const site = new Site();
    site.finish(nameOf(1));
    site.acknowledgements.stored(nameOf(1), fileIdentity(statSync(join(site.walDirectory, nameOf(1)))));
    site.answer = async () => {
      assert.deepEqual(site.acknowledged(), []);
      return 'already-there';
    };
    assert.deepEqual(await site.run({ once: true }), { stored: 0, alreadyThere: 1 });
  });

  it('says why a file is not stored, goes on with the others, and tries again', async () => {
    const site = new Site();
    site.finish(nameOf(1), nameOf(2));
    let tries = 0;
    site.answer = async (name) => {
      if (name !== nameOf(1)) return 'stored';
      tries += 1;
      if (tries === 1) throw new PgrecallError('disk-full', 'no space left', { hint: 'make room' });
      return 'stored';
    };
    const running = site.run();
    const failed = join(site.acknowledgements.directory, 'failed', nameOf(1));
    await eventually('2 is stored', () => site.acknowledged().includes(nameOf(2)));
    const [identity, ...reason] = readFileSync(failed, 'utf8').split('\n');
    assert.equal(identity, fileIdentity(statSync(join(site.walDirectory, nameOf(1)))));
    assert.deepEqual(reason, ['error[disk-full]: no space left', '  hint: make room', '']);
    await eventually('1 is stored', () => site.acknowledged().includes(nameOf(1)));
    assert.ok(!existsSync(failed));
    assert.equal(tries, 2);
    site.abort.abort();
    assert.deepEqual(await running, { stored: 2, alreadyThere: 0 });
    assert.deepEqual(
      site.events.map(({ kind }) => kind),
      ['failed', 'stored', 'stored'],
    );
  });

  it('fails in the end where it was to run once, and something could not be stored', async () => {
    const site = new Site();
    site.finish(nameOf(1), nameOf(2), nameOf(3));
    site.answer = async (name) => {
      if (name === nameOf(2)) throw new PgrecallError('wal-other-content', 'other content');
      return 'stored';
    };
    await assert.rejects(site.run({ once: true }), { code: 'wal-other-content' });
    assert.deepEqual(site.acknowledged(), [nameOf(1), nameOf(3)]);
    assert.equal(site.pushed.length, 3);
  });

  it('is not troubled by a file that archive_command stored and a checkpoint removed meanwhile', async () => {
    const site = new Site();
    site.finish(nameOf(1), nameOf(2));
    site.answer = async (name) => {
      if (name === nameOf(2)) return 'stored';
      rmSync(join(site.walDirectory, name));
      site.done(name);
      throw new PgrecallError('io', 'cannot open');
    };
    assert.deepEqual(await site.run({ once: true }), { stored: 1, alreadyThere: 0 });
  });

  it('ends after a time without work', async () => {
    const site = new Site();
    site.finish(nameOf(1));
    const begun = performance.now();
    await site.run({ idleExitMs: 300 });
    const elapsedMs = performance.now() - begun;
    assert.ok(elapsedMs >= 300 && elapsedMs < 5000, `${elapsedMs} ms`);
    assert.deepEqual(site.acknowledged(), [nameOf(1)]);
  });

  it('brings what it has begun to its end when it is told to stop', async () => {
    const site = new Site();
    site.finish(nameOf(1), nameOf(2), nameOf(3));
    site.answer = async () => {
      site.abort.abort();
      await sleep(50);
      return 'stored';
    };
    assert.deepEqual(await site.run(), { stored: 2, alreadyThere: 0 });
    assert.deepEqual(site.acknowledged(), [nameOf(1), nameOf(2)]);
  });

  it('says what is wrong where there is no pg_wal', async () => {
    const site = new Site();
    const walDirectory = join(site.directory, 'nowhere', 'pg_wal');
    await assert.rejects(site.run({ walDirectory }), { code: 'data-directory', hint: /data_directory/ });
    assert.ok(!existsSync(join(site.acknowledgements.directory, 'pid')));
  });

  it('ends where its threads can work no more, so that archive_command does the work itself', async () => {
    const site = new Site();
    site.finish(nameOf(1));
    site.answer = async () => {
      throw new PgrecallError('bug', 'a worker thread ended before its work was done');
    };
    await assert.rejects(site.run(), { code: 'bug' });
    assert.ok(!existsSync(join(site.acknowledgements.directory, 'pid')));
  });
});
