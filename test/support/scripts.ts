import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/* Runs the scripts that PostgreSQL calls, with something in the place of pgrecall that notes how it was called. */

export interface Ended {
  readonly status: number | null;
  readonly stderr: string;
  readonly elapsedMs: number;
}

/** Runs a script with sh, as a server would. */
export async function runScript(script: string, arguments_: readonly string[], cwd: string): Promise<Ended> {
  const begun = performance.now();
  return new Promise((resolve) => {
    const child = execFile('/bin/sh', [script, ...arguments_], { cwd }, (_error, _stdout, stderr) => {
      resolve({ status: child.exitCode, stderr, elapsedMs: performance.now() - begun });
    });
  });
}

/** A launcher that ends with the status that it is told to. */
export class StubLauncher {
  readonly path: string;
  readonly #calls: string;
  readonly #status: string;

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    this.path = join(directory, 'pgrecall');
    this.#calls = join(directory, 'calls');
    this.#status = join(directory, 'status');
    const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`;
    const lines = [
      '#!/bin/sh',
      `for word in "$@"; do printf '%s\\n' "$word"; done >>${quoted(this.#calls)}`,
      `read -r status <${quoted(this.#status)}`,
      '[ "$status" = killed ] && kill -9 $$',
      'exit "$status"',
    ];
    writeFileSync(this.path, `${lines.join('\n')}\n`, { mode: 0o755 });
    this.endsWith(0);
  }

  endsWith(status: number | 'killed'): void {
    writeFileSync(this.#status, `${status}\n`);
  }

  /** The words of all calls so far. */
  get calls(): string[] {
    return existsSync(this.#calls) ? readFileSync(this.#calls, 'utf8').split('\n').slice(0, -1) : [];
  }
}
