import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mebibyte, nameOf, segmentAt } from '../../test/support/test-archive.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { runPrefetcher, sayWanted, type PrefetcherOptions } from './prefetcher.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-prefetcher-'));
const running = new Set<AbortController>();
after(() => {
  // One whose test failed would keep the process alive.
  for (const abort of running) abort.abort();
  rmSync(root, { recursive: true, force: true });
});

async function eventually(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isSo()) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what}`);
    await sleep(5);
  }
}

/** An archive of segments up to `last`, and a prefetcher that runs. */
class Site {
  readonly directory = join(mkdtempSync(join(root, 's')), 'pgrecall', 'ahead.boot');
  readonly abort = new AbortController();
  readonly fetched: string[] = [];
  readonly reported: string[] = [];
  last: string;
  needed = true;
  now = 0;
  most = 0;
  delayMs = 0;
  damaged = '';
  #running: Promise<{ readonly fetched: number }> | undefined;

  constructor(last: string) {
    this.last = last;
    running.add(this.abort);
  }

  async start(options: Partial<PrefetcherOptions> = {}): Promise<void> {
    this.#running = runPrefetcher({
      directory: this.directory,
      segmentBytes: mebibyte,
      first: segmentAt(5),
      has: async (name) => name.slice(0, 8) === '00000001' && name <= this.last,
      fetch: async (name, path) => this.#fetch(name, path),
      parallel: 3,
      isNeeded: () => this.needed,
      report: ({ name }) => this.reported.push(name),
      signal: this.abort.signal,
      idleExitMs: undefined,
      ...options,
    });
    await eventually('it runs', () => existsSync(join(this.directory, 'pid')));
  }

  async #fetch(name: string, path: string): Promise<boolean> {
    assert.ok(existsSync(`${path}.coming`), 'a segment is announced before it is fetched');
    this.fetched.push(name);
    this.now += 1;
    this.most = Math.max(this.most, this.now);
    await sleep(this.delayMs);
    this.now -= 1;
    if (name === this.damaged) throw new PgrecallError('blob-damaged', 'damaged');
    writeFileSync(`${path}.tmp`, name);
    renameSync(`${path}.tmp`, path);
    return true;
  }

  /** Whole segments that wait. */
  get waiting(): string[] {
    return readdirSync(this.directory)
      .filter((name) => /^[0-9A-F]{24}$/.test(name))
      .toSorted();
  }

  async take(name: string): Promise<void> {
    await eventually(`${name} waits`, () => existsSync(join(this.directory, name)));
    assert.equal(readFileSync(join(this.directory, name), 'utf8'), name);
    rmSync(join(this.directory, name));
  }

  async end(): Promise<{ readonly fetched: number }> {
    this.abort.abort();
    return this.#running ?? { fetched: 0 };
  }

  async ended(): Promise<{ readonly fetched: number }> {
    return this.#running ?? { fetched: 0 };
  }
}

const names = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => nameOf(from + i));

describe('the prefetcher', () => {
  it('fetches what follows, so many ahead and so many at a time, and goes on as segments are taken', async () => {
    const site = new Site(nameOf(40));
    site.delayMs = 2;
    await site.start();
    await eventually('16 wait', () => site.waiting.length === 16);
    assert.deepEqual(site.waiting, names(5, 20));
    assert.equal(site.most, 3);
    for (const name of names(5, 40)) await site.take(name);
    assert.deepEqual(await site.end(), { fetched: 36 });
    assert.deepEqual(site.fetched, names(5, 40), 'each is fetched once');
    assert.ok(!existsSync(site.directory));
  });

  it('keeps few large segments, but two at least', async () => {
    const site = new Site(nameOf(40, 1, 1024 * mebibyte));
    await site.start({ segmentBytes: 1024 * mebibyte });
    await eventually('2 wait', () => site.waiting.length === 2);
    await sleep(50);
    assert.equal(site.fetched.length, 2);
    await site.end();
  });

  it('goes on when more is archived', async () => {
    const site = new Site(nameOf(5));
    await site.start();
    await site.take(nameOf(5));
    site.last = nameOf(6);
    await site.take(nameOf(6));
    await site.end();
  });

  it('follows a server that wants something else', async () => {
    const site = new Site(nameOf(60));
    await site.start();
    await eventually('16 wait', () => site.waiting.length === 16);
    sayWanted(site.directory, nameOf(30));
    await eventually('it has turned', () => site.waiting.join() === names(31, 46).join());
    // What it has already is no reason to turn.
    sayWanted(site.directory, nameOf(30));
    sayWanted(site.directory, '00000002.history');
    await site.take(nameOf(31));
    await eventually('it went on', () => site.waiting.join() === names(32, 47).join());
    assert.equal(site.fetched.length, 16 + 17);
    await site.end();
  });

  it('leaves a damaged segment to wal get, which says what is wrong, and goes on behind it', async () => {
    const site = new Site(nameOf(8));
    site.damaged = nameOf(6);
    await site.start();
    await eventually('the others wait', () => site.waiting.length === 3);
    assert.deepEqual(site.waiting, [nameOf(5), nameOf(7), nameOf(8)]);
    assert.deepEqual(site.reported, [nameOf(6)]);
    assert.ok(!existsSync(join(site.directory, `${nameOf(6)}.coming`)));
    await site.end();
  });

  it('ends when the server recovers no longer, or wants nothing for long, and leaves nothing behind', async () => {
    for (const why of ['recovered', 'idle'] as const) {
      const site = new Site(nameOf(40));
      await site.start(why === 'idle' ? { idleExitMs: 200 } : {});
      if (why === 'recovered') site.needed = false;
      await site.ended();
      assert.ok(!existsSync(site.directory), why);
    }
  });

  it('waits for what is being fetched before it removes the directory', async () => {
    const site = new Site(nameOf(40));
    site.delayMs = 100;
    await site.start();
    await eventually('some are coming', () => site.now === 3);
    await site.end();
    assert.equal(site.now, 0);
    assert.ok(!existsSync(site.directory));
  });

  it('removes what was left behind before a crash or a power cut', async () => {
    const site = new Site(nameOf(4));
    const before = join(site.directory, '..', 'ahead.another-boot');
    for (const directory of [site.directory, before]) {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, nameOf(5)), 'perhaps half written');
    }
    writeFileSync(join(site.directory, '..', 'restore-command'), '');
    await site.start();
    assert.deepEqual(readdirSync(join(site.directory, '..')).toSorted(), [basename(site.directory), 'restore-command']);
    assert.deepEqual(site.waiting, []);
    await site.end();
  });
});

describe('a wish for another segment', () => {
  it('is no error where no prefetcher is', () => {
    sayWanted(join(root, 'nowhere'), nameOf(5));
  });
});
