import { existsSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import { fileIdentity } from './archive-command.ts';
import { archiveStatusDirectory, readReadyNames } from './archive-status.ts';
import type { PushedFile } from './push-file.ts';

/*
 * The archiver: looks at what waits in pg_wal/archive_status, stores many files at a time, ahead of the server, and
 * writes an acknowledgement for each. The server still hands over one file after the other; its archive_command
 * finds the acknowledgement waiting. Nothing in pg_wal is changed, ever.
 */

export interface ArchiverOptions {
  /** `<data directory>/pg_wal`. */
  readonly walDirectory: string;
  readonly acknowledgements: Acknowledgements;
  /** Stores one file, durably; called for several at once. */
  readonly push: (name: string, path: string) => Promise<PushedFile>;
  /** How many at once. */
  readonly parallel: number;
  readonly report: (event: ArchiveEvent) => void;
  readonly signal: AbortSignal;
  /** Ends when everything that waits is stored; what cannot be stored fails it. */
  readonly once: boolean;
  /** Ends after so long without work. */
  readonly idleExitMs: number | undefined;
}

export type ArchiveEvent =
  | { readonly kind: 'stored'; readonly name: string }
  | { readonly kind: 'failed'; readonly name: string; readonly error: Error };

export interface ArchiveResult {
  readonly stored: number;
  readonly alreadyThere: number;
}

const rescanMs = 1000;
/** The bell ticks that often. */
const tickMs = 1000;
const firstRetryMs = 1000;
const longestRetryMs = 30_000;

interface Failure {
  readonly retryMs: number;
  readonly dueMs: number;
}

/** Throws `data-directory`, `bug` where a thread has died; with `once`, what a file could not be stored for. */
export async function runArchiver(options: ArchiverOptions): Promise<ArchiveResult> {
  return new Archiver(options).run();
}

class Archiver {
  readonly #options: ArchiverOptions;
  /** Done, until the server has taken note; by name, the identity of the file. */
  readonly #done = new Map<string, string>();
  readonly #failures = new Map<string, Failure>();
  readonly #underWay = new Set<string>();
  #stored = 0;
  #alreadyThere = 0;
  #firstFailure: Error | undefined;
  /** After which nothing can be stored any more. */
  #collapse: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(options: ArchiverOptions) {
    this.#options = options;
  }

  async run(): Promise<ArchiveResult> {
    const { acknowledgements, walDirectory, signal, idleExitMs, once } = this.#options;
    readReadyNames(walDirectory);
    // Of an earlier archiver: each file has to be stored again, or found to be there.
    acknowledgements.keepOnly(new Set());
    const watcher = watch(archiveStatusDirectory(walDirectory), () => this.#wake());
    watcher.on('error', () => this.#wake());
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort);
    const hanging = acknowledgements.bell.hang();
    acknowledgements.announce(process.pid, walDirectory);
    const ticking = setInterval(() => acknowledgements.bell.tick(), tickMs);
    let busyMs = performance.now();
    try {
      while (!signal.aborted && !this.#collapse) {
        const woken = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        if (this.#scan()) busyMs = performance.now();
        if (once && this.#underWay.size === 0) break;
        const idleMs = performance.now() - busyMs;
        if (idleExitMs !== undefined && this.#underWay.size === 0 && idleMs >= idleExitMs) break;
        await this.#pause(woken, idleExitMs === undefined ? rescanMs : Math.min(rescanMs, idleExitMs - idleMs));
      }
      while (this.#underWay.size > 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      watcher.close();
      clearInterval(ticking);
      acknowledgements.withdraw();
      await hanging;
      acknowledgements.bell.close();
    }
    if (this.#collapse) throw this.#collapse;
    if (once && this.#firstFailure) throw this.#firstFailure;
    return { stored: this.#stored, alreadyThere: this.#alreadyThere };
  }

  async #pause(woken: Promise<void>, ms: number): Promise<void> {
    const timer = setTimeout(() => this.#wake(), Math.max(1, ms));
    await woken;
    clearTimeout(timer);
  }

  /** Starts what can be started; says whether there is anything to do. */
  #scan(): boolean {
    const { acknowledgements, walDirectory, parallel, once } = this.#options;
    const ready = readReadyNames(walDirectory);
    const waiting = new Set(ready);
    acknowledgements.keepOnly(waiting);
    for (const name of this.#done.keys()) if (!waiting.has(name)) this.#done.delete(name);
    for (const name of this.#failures.keys()) if (!waiting.has(name)) this.#failures.delete(name);
    let busy = this.#underWay.size > 0;
    for (const name of ready) {
      if (this.#underWay.size >= parallel) break;
      if (this.#done.has(name) || this.#underWay.has(name)) continue;
      const failure = this.#failures.get(name);
      if (failure && (once || failure.dueMs > performance.now())) continue;
      busy = true;
      this.#underWay.add(name);
      void this.#push(name);
    }
    return busy;
  }

  /** Never rejects. */
  async #push(name: string): Promise<void> {
    const { push, walDirectory, acknowledgements, report } = this.#options;
    const path = join(walDirectory, name);
    try {
      const { stored, identity } = await push(name, path);
      this.#done.set(name, identity);
      this.#failures.delete(name);
      acknowledgements.stored(name, identity);
      if (stored === 'stored') this.#stored += 1;
      else this.#alreadyThere += 1;
      report({ kind: 'stored', name });
    } catch (error) {
      if (hasCode(error, 'bug') || !(error instanceof PgrecallError)) this.#collapse = asError(error);
      // Pushed by archive_command, recorded as done and removed by a checkpoint since the directory was read.
      if (existsSync(path)) this.#noteFailure(name, path, asError(error));
    } finally {
      this.#underWay.delete(name);
      this.#wake();
    }
  }

  #noteFailure(name: string, path: string, error: Error): void {
    const retryMs = Math.min((this.#failures.get(name)?.retryMs ?? firstRetryMs / 2) * 2, longestRetryMs);
    this.#failures.set(name, { retryMs, dueMs: performance.now() + retryMs });
    this.#firstFailure ??= error;
    const identity = statSync(path, { throwIfNoEntry: false });
    const code = error instanceof PgrecallError ? `error[${error.code}]: ` : '';
    const hint = error instanceof PgrecallError && error.hint !== undefined ? `\n  hint: ${error.hint}` : '';
    if (identity) {
      this.#options.acknowledgements.failed(name, fileIdentity(identity), `${code}${error.message}${hint}`);
    }
    this.#options.report({ kind: 'failed', name, error });
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
