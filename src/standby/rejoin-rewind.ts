import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connectionWords } from '../connection/connection-uri.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { asOwner } from '../server/as-owner.ts';

/*
 * pg_rewind (https://www.postgresql.org/docs/18/app-pgrewind.html): copies from the new primary the pages that the former one
 * changed since they parted, and all that are no pages. The WAL that it reads of the former primary may be in the archive only: `-c` has it
 * fetched by the restore_command of the target, which is put there for it. That command is a plain `wal get`, without anything fetched
 * ahead: pg_rewind reads backwards, and removes what it does not know from the directory.
 */

export interface Rewind {
  readonly program: string;
  readonly directory: string;
  /** Of a cluster whose postgresql.conf lies elsewhere; version 15 and later. */
  readonly configFile: string | undefined;
  /** To one server; its password goes into the environment. */
  readonly source: string;
  readonly restoreCommand: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

const tailBytes = 2000;

/** A pg_rewind that works on the directory still, as after pgrecall was killed. Throws `locked`. */
export function refuseRunningRewind(directory: string): void {
  const wanted = statSync(directory);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readFileSync(`/proc/${name}/comm`, 'utf8').trim() !== 'pg_rewind') continue;
      const works = statSync(`/proc/${name}/cwd/`);
      if (works.ino !== wanted.ino || works.dev !== wanted.dev) continue;
    } catch {
      // It has ended, or is another user's.
      continue;
    }
    throw new PgrecallError('locked', `pg_rewind (process ${name}) works on "${directory}"`, {
      hint: 'wait until it has ended, then run this again',
      details: { directory, pid: Number(name) },
    });
  }
}

/** Throws `rejoin-failed` with what pg_rewind said. */
export async function rewind(options: Rewind): Promise<void> {
  const { directory, program, configFile } = options;
  const command = options.restoreCommand.replaceAll('\\', '\\\\').replaceAll("'", "''");
  appendFileSync(join(directory, 'postgresql.auto.conf'), `restore_command = '${command}'\n`);
  const { password, ...words } = connectionWords(options.source);
  const source = Object.entries(words)
    .map(([word, value]) => `${word}='${(value ?? '').replaceAll(/[\\']/g, '\\$&')}'`)
    .join(' ');
  const env = { ...options.env, LC_ALL: 'C', ...(password === undefined ? {} : { PGPASSWORD: password }) };
  const run = asOwner(
    directory,
    program,
    [
      ...['-D', directory, `--source-server=${source}`, '--restore-target-wal'],
      ...(configFile === undefined ? [] : [`--config-file=${configFile}`]),
    ],
    env,
  );
  const child = spawn(run.command, [...run.arguments], { ...run.options, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const hear = (text: Buffer): void => {
    said = `${said}${text.toString()}`.slice(-tailBytes);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const giveUp = (): void => void child.kill('SIGINT');
  options.signal.addEventListener('abort', giveUp);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    options.signal.throwIfAborted();
    if (status === 0) return;
    throw new PgrecallError('rejoin-failed', `pg_rewind ended with status ${status}:\n${said.trim()}`, {
      hint: 'a restore from the repository needs no pg_rewind: --method restore',
    });
  } finally {
    options.signal.removeEventListener('abort', giveUp);
  }
}
