import { spawn } from 'node:child_process';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Programs } from '../server/programs.ts';
import type { Story } from './story.ts';

/** What a command came to. */
export interface Ran {
  readonly exitStatus: number;
  /** The lines that are shown. */
  readonly output: readonly string[];
}

export interface ShellOptions {
  /** Where the commands run. */
  readonly directory: string;
  /** Absolute path of `bin/pgrecall`. */
  readonly launcher: string;
  readonly programs: Programs;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly story: Story;
}

/** Runs the commands that the story shows: the very programs that a learner would call. */
export class Shell {
  readonly #options: ShellOptions;

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  /** Throws `demo-failed` with what it said where it fails. */
  async pgrecall(...arguments_: readonly string[]): Promise<Ran> {
    return this.#run('pgrecall', this.#options.launcher, arguments_);
  }

  async initdb(...arguments_: readonly string[]): Promise<Ran> {
    return this.#run('initdb', this.#options.programs.initdb, arguments_, () => []);
  }

  async pgCtl(...arguments_: readonly string[]): Promise<Ran> {
    // Of the dots and phases that it prints, the last line says what came of it.
    return this.#run('pg_ctl', this.#options.programs.pgCtl, arguments_, (lines) => lines.slice(-1));
  }

  async #run(
    name: string,
    path: string,
    arguments_: readonly string[],
    shown: (lines: readonly string[]) => readonly string[] = (lines) => lines,
  ): Promise<Ran> {
    const { story, signal } = this.#options;
    const words = [name, ...arguments_];
    const ran = await story.shell(words, async () => {
      signal.throwIfAborted();
      const { exitStatus, stdout, stderr } = await this.#spawn(path, arguments_);
      const output = exitStatus === 0 ? shown(linesOf(stdout)) : [...linesOf(stdout), ...linesOf(stderr)];
      return { exitStatus, output };
    });
    signal.throwIfAborted();
    if (ran.exitStatus === 0) return ran;
    throw new PgrecallError('demo-failed', `${story.currentStep}: ${name} ended with exit status ${ran.exitStatus}`, {
      details: { step: story.currentStep, command: words, exitStatus: ran.exitStatus, output: ran.output },
    });
  }

  /** On abort the command is asked to end, and waited for. */
  async #spawn(
    path: string,
    arguments_: readonly string[],
  ): Promise<{ readonly exitStatus: number; readonly stdout: string; readonly stderr: string }> {
    const { directory, env, programs, signal } = this.#options;
    const child = spawn(path, arguments_, {
      cwd: directory,
      env: { ...environmentFor(env), ...programs.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const end = (): boolean => child.kill('SIGTERM');
    signal.addEventListener('abort', end);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
    try {
      const exitStatus = await new Promise<number>((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (status) => resolve(status ?? 1));
      });
      return {
        exitStatus,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      };
    } finally {
      signal.removeEventListener('abort', end);
    }
  }
}

/** Without what would point the programs at another server or configuration; in English. */
function environmentFor(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = Object.entries(env).filter(([name]) => !name.startsWith('PG'));
  return { ...Object.fromEntries(own), LC_ALL: 'C' };
}

function linesOf(text: string): string[] {
  return text.trimEnd() === '' ? [] : text.trimEnd().split('\n');
}
