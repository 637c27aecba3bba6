import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { newSecret } from '../src/repository/generated-secret.ts';
import { packsOfBackup } from './made-up/backups.ts';
import { makeUpRuns } from './made-up/layout.ts';
import { configurationIn, makeUpRepository } from './made-up/repository.ts';
import { countIndexObjects } from './made-up/wal.ts';
import { measure, type Measurement } from './measuring/measure.ts';

/*
 * How long `pgrecall list` takes on a repository of a million segments and a thousand backups, as a whole process.
 *
 *   node bench/list-scale.ts [--segments N] [--backups N] [--runs N] [--encrypted chosen|generated] [--directory DIR]
 *
 * The repository is made up in the program's own layout. One in a directory that is named stays, and is used again. Exit 1
 * where the goal is missed.
 */

const goal = { seconds: 0.3, bytes: 200_000_000 };
const commands = ['list', 'list --json', 'wal list main'];
const launcher = fileURLToPath(new URL('../bin/pgrecall', import.meta.url));

const { values } = parseArgs({
  options: {
    segments: { type: 'string', default: '1000000' },
    backups: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '5' },
    encrypted: { type: 'string' },
    directory: { type: 'string' },
  },
});
const directory = values.directory ?? mkdtempSync(join(tmpdir(), 'pgrecall-list-'));
const segments = Number(values.segments);
const backups = Number(values.backups);

try {
  const configFile = configurationIn(directory);
  if (!existsSync(configFile)) {
    say(`making up ${segments} segments and ${backups} backups in ${directory}`);
    const passphrase = passphraseOf(values.encrypted);
    await makeUpRepository({ directory, segments, backups, ...(passphrase === undefined ? {} : { passphrase }) });
  }
  describe();
  let missed = false;
  say('| command | wall s, median (min–max) | CPU s | peak MB | |\n|---|---|---|---|---|');
  for (const command of commands) {
    const measured = await measureOften(command, configFile, Number(values.runs));
    const wall = measured.map(({ wallSeconds }) => wallSeconds).toSorted((a, b) => a - b);
    const peak = Math.max(...measured.map(({ peakBytes }) => peakBytes));
    const cpu = median(measured.map(({ userSeconds, systemSeconds }) => userSeconds + systemSeconds));
    const met = median(wall) < goal.seconds && peak < goal.bytes;
    missed ||= !met && command.startsWith('list');
    const spread = `${wall[0]?.toFixed(3)}–${wall.at(-1)?.toFixed(3)}`;
    const cells = [command, `${median(wall).toFixed(3)} (${spread})`, cpu.toFixed(2), (peak / 1e6).toFixed(0)];
    say(`| ${[...cells, met ? 'met' : 'missed'].join(' | ')} |`);
  }
  say(`\ngoal for list: under ${goal.seconds} s and ${goal.bytes / 1e6} MB`);
  process.exitCode = missed ? 1 : 0;
} finally {
  if (values.directory === undefined) rmSync(directory, { recursive: true, force: true });
}

/** One that somebody chose goes through scrypt, one that pgrecall made does not. */
function passphraseOf(encrypted: string | undefined): string | undefined {
  if (encrypted === undefined) return undefined;
  return encrypted === 'generated' ? newSecret(randomBytes) : 'made up';
}

function describe(): void {
  const runs = makeUpRuns(segments);
  const timelines = new Set(runs.map(({ timeline }) => timeline)).size;
  const { logs, single } = countIndexObjects(runs, 256);
  say(
    `made up: ${segments} segments of 16 MB on ${timelines} timelines with ${runs.length - timelines} gaps. Their index is real: ` +
      `${logs} whole logs, ${single} segments in logs that are not whole, and the beginnings of the ${timelines - 1} segments in which a timeline was left. ` +
      `Of the segments only the names are there. ${backups} backups with ${packsOfBackup} packs each: records are real, packs are not there.\n`,
  );
}

/** Once more than asked for: the first one warms the caches. */
async function measureOften(command: string, configFile: string, times: number): Promise<Measurement[]> {
  const measured: Measurement[] = [];
  for (let i = 0; i <= times; i += 1) {
    const step = { command: `'${launcher}' ${command} --config '${configFile}' >/dev/null || [ $? = 3 ]` };
    const logFile = join(directory, 'log');
    measured.push(await measure({ steps: [step], env: process.env, workDirectory: directory, logFile }));
  }
  return measured.slice(1);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
