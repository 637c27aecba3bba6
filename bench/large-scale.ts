import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { madeUpRecord } from './scale/made-up-record.ts';
import { measure, type Measurement } from './measuring/measure.ts';

/*
 * What a large cluster costs beside reading and writing its content: backups, restores and expiries that handle the maps of
 * 10 TB in a million files, from made-up maps.
 *
 *   node bench/large-scale.ts [--terabytes 0.1,0.3,1,3,10] [--files-per-terabyte N] [--changed N] [--limit SECONDS] [--directory DIR]
 *
 * Sizes are measured in the order given; none is begun once the limit is over. Exit 1 where the goal is missed.
 */

const goalBytes = 1_000_000_000;
const launcher = fileURLToPath(new URL('../bin/pgrecall', import.meta.url));
const stepFile = fileURLToPath(new URL('scale/step.ts', import.meta.url));

const { values } = parseArgs({
  options: {
    terabytes: { type: 'string', default: '0.1,0.3,1,3,10' },
    'files-per-terabyte': { type: 'string', default: '100000' },
    changed: { type: 'string', default: '500' },
    limit: { type: 'string', default: '1800' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const sizes = values.terabytes.split(',').map(Number);
const began = performance.now();
let missed = false;

say(`one page in ${values.changed} changed between two backups\n`);
say('| TB | files | step | wall s | CPU s | peak MB | manifest MB | |\n|---:|---:|---|---:|---:|---:|---:|---|');
for (const terabytes of sizes) {
  if ((performance.now() - began) / 1000 > Number(values.limit)) {
    say(`\nthe limit of ${values.limit} s is over: ${terabytes} TB and more were not measured`);
    break;
  }
  await measureSize(terabytes);
}
say(`\ngoal: under ${goalBytes / 1e6} MB`);
process.exitCode = missed ? 1 : 0;

/** The first backup, one that builds on it, what is listed and planned, a restore in place of the second, and the expiry of the first. */
async function measureSize(terabytes: number): Promise<void> {
  const directory = mkdtempSync(join(values.directory, 'pgrecall-large-'));
  const files = Math.round(terabytes * Number(values['files-per-terabyte']));
  const size = `'${directory}' ${terabytes * 1e12} ${files} ${values.changed}`;
  const step = (name: string, generation: number): string => `${node()} '${stepFile}' ${name} ${size} ${generation}`;
  const program = (words: string): string => `'${launcher}' ${words} --config '${join(directory, 'pgrecall.toml')}'`;
  try {
    execFileSync('sh', ['-c', step('make', 0)]);
    for (const [name, command] of [
      ['full backup', step('full', 0)],
      ['incremental', step('increment', 1)],
      ['list', program('list main')],
      ['restore, planned', program(`restore main --to '${join(directory, 'restored')}' --plan`)],
      ['restore in place', step('restore', 1)],
      ['expire, planned', program(`expire main --backup ${madeUpRecord(0).id} --plan`)],
      ['expire and sweep', program(`expire main --backup ${madeUpRecord(0).id}`)],
    ] as const) {
      const logFile = join(directory, 'log');
      const measured = await measure({ steps: [{ command }], env: process.env, workDirectory: directory, logFile });
      const last = readFileSync(logFile, 'utf8').trimEnd().split('\n').at(-1) ?? '';
      report(
        [String(terabytes), String(files), name],
        measured,
        name.includes('backup') || name.includes('incremental') ? last : '',
      );
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function report(cells: readonly string[], measured: Measurement, said: string): void {
  const { wallSeconds, userSeconds, systemSeconds, peakBytes } = measured;
  const met = peakBytes < goalBytes;
  missed ||= !met;
  const stored = said === '' ? '' : ((JSON.parse(said) as { storedBytes: number }).storedBytes / 1e6).toFixed(0);
  const figures = [
    wallSeconds.toFixed(1),
    (userSeconds + systemSeconds).toFixed(1),
    (peakBytes / 1e6).toFixed(0),
    stored,
  ];
  say(`| ${[...cells, ...figures, met ? 'met' : 'missed'].join(' | ')} |`);
}

/** As bin/pgrecall runs it. */
function node(): string {
  const environment = 'MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=536870912';
  return `${environment} '${process.execPath}' --max-semi-space-size=1 --single-threaded-gc`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
