import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, watch, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';
import { announcement } from './announced-process.ts';
import { Bell } from './bell.ts';
import {
  formatSegmentName,
  isSegmentName,
  parseSegmentName,
  segmentNumber,
  type SegmentName,
} from '../postgres/segment-name.ts';

/*
 * Fetches the segments that a recovering server will want next, a bounded number of them, into the directory that
 * restore-command.ts describes. Which one that is, it guesses from the last one that was asked for: the next of the
 * same timeline. Where the guess is wrong, `wal get` serves the server and says what was wanted.
 */

export interface PrefetcherOptions {
  readonly directory: string;
  readonly segmentBytes: number;
  /** The first to fetch. */
  readonly first: SegmentName;
  /** Whether the archive has a segment of that name. */
  readonly has: (name: string) => Promise<boolean>;
  /** Puts a segment to `path`, whole, by rename from the directory named; false where the archive has none. */
  readonly fetch: (name: string, path: string, workingDirectory: string) => Promise<boolean>;
  readonly parallel: number;
  /** Whether the server still recovers. */
  readonly isNeeded: () => boolean;
  readonly report: (event: { readonly name: string; readonly error: Error }) => void;
  readonly signal: AbortSignal;
  readonly idleExitMs: number | undefined;
}

/** How often it looks whether it is needed, and the archive for more. */
const lookMs = 500;
/** The bell ticks that often. */
const tickMs = 1000;
/** What waits to be taken has at most so many bytes, but at least two segments, and at most so many segments. */
const aheadBytes = 268_435_456;
const aheadSegments = 16;

/** Says which segment the server was given by someone else. */
export function sayWanted(directory: string, name: string): void {
  const temporary = join(directory, `wanted-${process.pid}`);
  try {
    writeFileSync(temporary, name);
    renameSync(temporary, join(directory, 'wanted'));
  } catch (error) {
    // No prefetcher, no directory: nobody to tell.
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** Runs until the server no longer recovers, `signal`, or long idleness; what was not taken is removed. */
export async function runPrefetcher(options: PrefetcherOptions): Promise<{ readonly fetched: number }> {
  return new Prefetcher(options).run();
}

class Prefetcher {
  readonly #options: PrefetcherOptions;
  readonly #limit: number;
  readonly #bell: Bell;
  #next: SegmentName;
  /** Announced, and not there yet. */
  readonly #coming = new Set<string>();
  readonly #queue: string[] = [];
  #fetching = 0;
  /** There, and not taken yet. */
  readonly #waiting = new Set<string>();
  #fetched = 0;
  /** The end of the archive was met: whether it has grown is asked now and then. */
  #absentUntilMs = 0;
  #wake: () => void = () => undefined;

  constructor(options: PrefetcherOptions) {
    this.#options = options;
    this.#limit = Math.max(2, Math.min(aheadSegments, Math.floor(aheadBytes / options.segmentBytes)));
    this.#next = options.first;
    // Not in the directory that is watched: every line would wake us.
    this.#bell = new Bell(join(this.#workingDirectory, 'bell'));
  }

  async run(): Promise<{ readonly fetched: number }> {
    const { directory, signal, idleExitMs, isNeeded } = this.#options;
    removeEarlier(directory);
    // Apart: the directory itself is watched, and every write in it would wake us.
    mkdirSync(this.#workingDirectory, { recursive: true, mode: 0o700 });
    const hanging = this.#bell.hang();
    const ticking = setInterval(() => this.#bell.tick(), tickMs);
    const watcher = watch(directory, () => this.#wake());
    watcher.on('error', () => this.#wake());
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort);
    let busyMs = performance.now();
    try {
      await this.#announce();
      // Only now: the script takes what a prefetcher that runs does not announce for something it will not fetch.
      this.#write('pid', announcement(process.pid));
      while (!signal.aborted && isNeeded()) {
        const woken = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        const demanded = this.#noteTaken() || this.#aimAnew();
        if (demanded) busyMs = performance.now();
        await this.#announce();
        this.#fetchQueued();
        if (idleExitMs !== undefined && performance.now() - busyMs > idleExitMs) break;
        const timer = setTimeout(() => this.#wake(), lookMs);
        await woken;
        clearTimeout(timer);
      }
      return { fetched: this.#fetched };
    } finally {
      signal.removeEventListener('abort', onAbort);
      watcher.close();
      clearInterval(ticking);
      while (this.#fetching > 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      await hanging;
      rmSync(directory, { recursive: true, force: true });
      this.#bell.close();
    }
  }

  get #workingDirectory(): string {
    return join(this.#options.directory, 'unfinished');
  }

  #path(name: string): string {
    return join(this.#options.directory, name);
  }

  #write(name: string, text: string): void {
    writeFileSync(this.#path(`${name}.tmp`), text, { mode: 0o600 });
    renameSync(this.#path(`${name}.tmp`), this.#path(name));
  }

  /** Whether the server has taken something. */
  #noteTaken(): boolean {
    let taken = false;
    for (const name of this.#waiting) {
      if (existsSync(this.#path(name))) continue;
      this.#waiting.delete(name);
      taken = true;
    }
    return taken;
  }

  /** Follows a server that was given another segment than the guessed ones. */
  #aimAnew(): boolean {
    let wanted: string;
    try {
      wanted = readFileSync(this.#path('wanted'), 'utf8').trim();
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
    rmSync(this.#path('wanted'), { force: true });
    if (!isSegmentName(wanted)) return false;
    const next = following(parseSegmentName(wanted, this.#options.segmentBytes));
    const nextName = this.#nameOf(next);
    if (this.#coming.has(nextName) || this.#waiting.has(nextName)) return true;
    for (const name of readdirSync(this.#options.directory))
      if (name !== 'pid' && name !== 'unfinished') rmSync(this.#path(name), { force: true });
    this.#queue.length = 0;
    this.#coming.clear();
    this.#waiting.clear();
    this.#next = next;
    this.#absentUntilMs = 0;
    this.#bell.ring();
    return true;
  }

  #nameOf(name: SegmentName): string {
    return formatSegmentName(name, this.#options.segmentBytes);
  }

  /** Announces what is going to be fetched, so that the server waits for it rather than to ask elsewhere. */
  async #announce(): Promise<void> {
    while (this.#coming.size + this.#waiting.size < this.#limit) {
      const next = this.#next;
      const name = this.#nameOf(next);
      if (performance.now() < this.#absentUntilMs) return;
      if (!(await this.#options.has(name).catch(() => false))) {
        this.#absentUntilMs = performance.now() + lookMs;
        return;
      }
      writeFileSync(this.#path(`${name}.coming`), '');
      this.#coming.add(name);
      this.#queue.push(name);
      this.#next = following(next);
      this.#fetchQueued();
    }
  }

  #fetchQueued(): void {
    while (this.#fetching < this.#options.parallel) {
      const name = this.#queue.shift();
      if (name === undefined) return;
      this.#fetching += 1;
      void this.#fetch(name);
    }
  }

  /** Never rejects. */
  async #fetch(name: string): Promise<void> {
    try {
      const found = await this.#options.fetch(name, this.#path(name), this.#workingDirectory);
      if (found && this.#coming.has(name)) {
        this.#waiting.add(name);
        this.#fetched += 1;
      }
    } catch (error) {
      // The server will ask `wal get`, whose failure it hears of.
      this.#options.report({ name, error: error instanceof Error ? error : new Error(String(error)) });
    } finally {
      rmSync(this.#path(`${name}.coming`), { force: true });
      this.#coming.delete(name);
      this.#fetching -= 1;
      this.#bell.ring();
      this.#wake();
    }
  }
}

/** What earlier prefetchers left: in this directory, and in those of other boots, which nobody will ever take. */
function removeEarlier(directory: string): void {
  const parent = dirname(directory);
  for (const name of existsSync(parent) ? readdirSync(parent) : []) {
    const path = join(parent, name);
    if (!name.startsWith('ahead.') || path === directory) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // In nobody's way.
    }
  }
  rmSync(directory, { recursive: true, force: true });
}

function following({ timeline, number }: SegmentName): SegmentName {
  return { timeline, number: segmentNumber(number + 1n) };
}
