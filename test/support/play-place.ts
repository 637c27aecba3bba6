import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { giveToServer } from './server-user.ts';

const launcher = resolve(import.meta.dirname, '../../bin/pgrecall');

interface Ran {
  readonly exitStatus: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A temporary directory of a test's own, in which a demo or a lab makes its own. */
export class PlayPlace {
  readonly directory = mkdtempSync(join(tmpdir(), 'pgr-demo-'));

  constructor() {
    giveToServer(this.directory);
  }

  async play(
    arguments_: readonly string[],
    onOutput: (running: ChildProcess, stdout: string) => void = () => undefined,
  ): Promise<Ran> {
    const running = spawn(launcher, arguments_, {
      env: { ...process.env, TMPDIR: this.directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    running.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput(running, stdout);
    });
    running.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [exitStatus] = (await once(running, 'close')) as [number | null];
    return { exitStatus, stdout, stderr };
  }

  async report<T>(...arguments_: readonly string[]): Promise<T> {
    const { exitStatus, stdout, stderr } = await this.play([...arguments_, '--json']);
    assert.equal(exitStatus, 0, stderr);
    return JSON.parse(stdout) as T;
  }

  /** Command lines of the processes that work in it or have a word from it. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => `${this.#read(pid, 'cmdline')}\0${this.#read(pid, 'cwd')}`.includes(this.directory))
      .map((pid) => this.#read(pid, 'cmdline').replaceAll('\0', ' '));
  }

  #read(pid: string, what: 'cmdline' | 'cwd'): string {
    try {
      return what === 'cwd' ? readlinkSync(`/proc/${pid}/cwd`) : readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return '';
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
