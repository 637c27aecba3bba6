import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { giveToServer } from './server-user.ts';

const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));

/** How a command ended, and what it said. */
export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The document on stdout. */
  readonly json: () => unknown;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A directory with a configuration, from which a test runs commands as an administrator does: the program itself, with
 * its arguments, and without anybody at a terminal.
 */
export class CommandSite {
  readonly directory: string;
  readonly configFile: string;
  readonly repository: string;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'pgrecall-commands-'));
    // The server’s user has to pass through.
    chmodSync(this.directory, 0o711);
    this.configFile = join(this.directory, 'pgrecall.toml');
    this.repository = join(this.directory, 'repository');
  }

  /** Where the cluster's part of the repository has an object. */
  object(key: string, cluster = 'main'): string {
    return join(this.repository, 'clusters', cluster, key);
  }

  /** A file that only the server's user can read. */
  secret(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, content, { mode: 0o600 });
    giveToServer(path);
    return path;
  }

  /** Makes a file or directory of the repository the server's, which it was before a test replaced it. */
  give(path: string): void {
    giveToServer(path);
  }

  run(words: readonly string[], options: RunOptions = {}): CommandResult {
    const { status, stdout, stderr } = spawnSync(launcher, this.#words(words), {
      ...this.#world(options),
      encoding: 'utf8',
      input: '',
      timeout: 300_000,
    });
    return { status, stdout, stderr, json: () => JSON.parse(stdout) as unknown };
  }

  /** The same without waiting for its end. */
  start(words: readonly string[], options: RunOptions = {}): ChildProcess {
    return spawn(launcher, this.#words(words), { ...this.#world(options), stdio: ['ignore', 'pipe', 'pipe'] });
  }

  #words(words: readonly string[]): string[] {
    // What stands after -- goes to another program.
    const rest = words.includes('--') ? words.indexOf('--') : words.length;
    return [...words.slice(0, rest), '--config', this.configFile, ...words.slice(rest)];
  }

  #world(options: RunOptions): { cwd: string; env: NodeJS.ProcessEnv } {
    const { PATH = '' } = process.env;
    return { cwd: this.directory, env: { PATH, HOME: this.directory, LANG: 'C.UTF-8', ...options.env } };
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
