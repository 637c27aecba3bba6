import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseContenders } from './contenders/contenders.ts';
import { becomePostgres } from './measuring/become-postgres.ts';
import { installMissing } from './packages.ts';
import { formatReport } from './round/report.ts';
import type { Result } from './round/result.ts';
import { runRound } from './round/run-round.ts';
import { describeSetting } from './round/setting.ts';
import { fillSource } from './source/fill-source.ts';
import { SourceCluster } from './source/source-cluster.ts';
import { makeWalSet } from './source/wal-set.ts';

/*
 * pgrecall beside what one would use instead of it, in one run: docs/benchmarks.md. Started by scripts/bench.sh (npm run
 * bench), which makes sure of what is needed and puts run-steps.pl above it.
 */

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '40' },
    documents: { type: 'string' },
    tables: { type: 'string', default: '400' },
    segments: { type: 'string', default: '64' },
    increments: { type: 'string', default: '7' },
    rounds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    contenders: { type: 'string' },
    directory: { type: 'string', default: '/var/tmp' },
    output: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const scale = Number(values.scale);
const size = { scale, documents: Number(values.documents ?? scale * 5000), tables: Number(values.tables) };
const [segments, rounds, jobs] = [values.segments, values.rounds, values.jobs].map(Number) as [number, number, number];
const increments = Number(values.increments);
const output = values.output === undefined ? undefined : resolve(process.env['INIT_CWD'] ?? '.', values.output);
if (output !== undefined) writeFileSync(output, '');

installMissing();
const contenders = chooseContenders(values.contenders);
const directory = mkdtempSync(join(values.directory, 'pgrecall-bench-'));
becomePostgres(directory, output === undefined ? [] : [output]);
say(`making the source cluster in ${directory}`);
const source = await SourceCluster.make(directory);
try {
  endWithTheServer();
  await fillSource(source, size);
  await source.start();
  const results: Result[] = [];
  const walSet = await makeWalSet(source, join(directory, 'wal-set'), segments);
  const env = { ...process.env, PATH: `${source.programs.binDirectory}:${process.env['PATH']}` };
  const sourceBytes = sizeOf(source.dataDirectory, '--exclude=pg_wal');
  say(`the source has ${(sourceBytes / 1e6).toFixed(0)} MB`);
  for (let number = 1; number <= rounds; number += 1) {
    // Who came first in one round comes last in the next.
    const first = (number - 1) % contenders.length;
    const order = [...contenders.slice(first), ...contenders.slice(0, first)];
    await runRound({
      number,
      contenders: order,
      source,
      walSet,
      directory,
      jobs,
      increments,
      reaper: reaperPid(),
      report: (result) => {
        results.push(result);
        appendFileSync(join(directory, 'results.jsonl'), `${JSON.stringify(result)}\n`);
        const cpu = result.userSeconds + result.systemSeconds;
        say(
          `round ${number}, ${result.operation}, ${result.contender}: ${result.wallSeconds.toFixed(2)} s, CPU ${cpu.toFixed(2)} s`,
        );
      },
    });
  }
  const setting = describeSetting(contenders, { directory, jobs, env, date: new Date() });
  const data = `- data: ${(sourceBytes / 1e6).toFixed(0)} MB (pgbench at scale ${scale}, ${size.documents} documents, ${size.tables} small tables); ${segments} segments of WAL; median of ${rounds} round(s)`;
  const report = `${setting}\n${data}\n\n${formatReport(results, { contenders, sourceBytes, segments })}\n`;
  process.stdout.write(report);
  if (output !== undefined) writeFileSync(output, report);
} finally {
  await source.stop('immediate');
  if (values.keep) say(`everything is left in ${directory}`);
  else rmSync(directory, { recursive: true, force: true });
}

function endWithTheServer(): void {
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => void source.stop('immediate').finally(() => process.exit(status)));
  }
}

function reaperPid(): number {
  const { ppid } = process;
  if (!readFileSync(`/proc/${ppid}/cmdline`, 'utf8').includes('run-steps.pl')) {
    throw new Error('start it with npm run bench');
  }
  return ppid;
}

function sizeOf(path: string, ...options: readonly string[]): number {
  return Number(execFileSync('du', ['-sb', ...options, path], { encoding: 'utf8' }).split('\t', 1)[0]);
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
