import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { quote } from './contenders/contender.ts';
import { becomePostgres } from './measuring/become-postgres.ts';
import { measure, type Measurement } from './measuring/measure.ts';
import { treeCpuSeconds } from './measuring/process-tree.ts';
import { changeAtRandom, changeNewest } from './source/change-rows.ts';
import { fillSource } from './source/fill-source.ts';
import { SourceCluster } from './source/source-cluster.ts';

/*
 * Dumps beside what one would type instead: pg_dump and zstd, pg_restore; and what a dump stores of a database that changed a
 * little since the one before.
 *
 *   perl bench/measuring/run-steps.pl /dev/null node_modules/node/bin/node bench/dumps.ts
 *       [--scale N] [--documents N] [--rounds N] [--jobs N] [--parts custom,directory,load,changes]
 *       [--directory DIR] [--keep] [--source DIR]
 */

const launcher = fileURLToPath(new URL('../bin/pgrecall', import.meta.url));
const database = 'postgres';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '80' },
    documents: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    parts: { type: 'string', default: 'custom,directory,load,changes' },
    directory: { type: 'string', default: '/var/tmp' },
    /** What an earlier run has kept. */
    source: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const scale = Number(values.scale);
const jobs = Number(values.jobs);
const parts = new Set(values.parts.split(','));

const directory = values.source ?? mkdtempSync(join(values.directory, 'pgrecall-dumps-'));
becomePostgres(directory);
const source = values.source === undefined ? await SourceCluster.make(directory) : await SourceCluster.at(directory);
const repository = join(directory, 'repository');
const work = join(directory, 'work');
const config = join(directory, 'pgrecall.toml');
const env = {
  ...process.env,
  ...source.clientEnvironment,
  PATH: `${source.programs.binDirectory}:${process.env['PATH']}`,
};
const pgrecall = `${quote(launcher)} --config ${quote(config)}`;

type Measured = Measurement & { readonly serverSeconds: number };
const wall = ({ wallSeconds }: Measured): number => wallSeconds;
const server = ({ serverSeconds: seconds }: Measured): number => seconds;
const cpu = (measured: Measured): number => measured.userSeconds + measured.systemSeconds + measured.serverSeconds;
const memory = ({ peakTreeBytes }: Measured): number => peakTreeBytes;

interface Way {
  readonly name: string;
  readonly command: string;
}

interface Comparison {
  readonly what: string;
  readonly ways: readonly Way[];
  /** After each. */
  readonly check?: () => Promise<void>;
}

const file = quote(join(work, 'bare.zst'));
const restored = quote(join(work, 'bare.dump'));
const folder = quote(join(work, 'bare.directory'));
const one = `zstd -1 -q --rm`;

const comparisons: readonly Comparison[] = [
  {
    what: 'custom',
    ways: [
      {
        name: 'pg_dump -Fc -Z0, piped into zstd -1',
        command: `pg_dump -Fc -Z0 ${database} | zstd -1 -q -f -o ${file} && sync -f ${file}`,
      },
      { name: 'pgrecall dump', command: `${pgrecall} dump main --database ${database} --independent` },
    ],
  },
  {
    what: 'directory',
    ways: [
      {
        name: `pg_dump -Fd -j ${jobs} -Z0, then zstd -1`,
        command: `rm -rf ${folder}; pg_dump -Fd -j ${jobs} -Z0 -f ${folder} ${database} && find ${folder} -type f -print0 | xargs -0 -n 1 -P ${jobs} ${one} && sync -f ${folder}`,
      },
      {
        name: `pgrecall dump --format directory --jobs ${jobs}`,
        command: `${pgrecall} dump main --database ${database} --independent --format directory --jobs ${jobs}`,
      },
    ],
  },
  {
    what: 'load',
    ways: [
      {
        name: `zstd -d, pg_restore -j ${jobs}`,
        command: `zstd -d -q -f -o ${restored} ${file} && createdb loaded && pg_restore -j ${jobs} -d loaded ${restored}`,
      },
      {
        name: `pgrecall load --jobs ${jobs}`,
        command: `${pgrecall} load main "$(cat ${quote(join(work, 'last'))})" --database loaded --create --jobs ${jobs}`,
      },
    ],
    check: checkLoaded,
  },
];

say(`${values.source === undefined ? 'making' : 'using'} the source cluster in ${directory}`);
try {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void source.stop('immediate').finally(() => process.exit(1)));
  }
  if (values.source === undefined) {
    await fillSource(source, { scale, documents: Number(values.documents ?? scale * 15_000), tables: 50 });
  }
  await source.start();
  mkdirSync(work, { recursive: true });
  rmSync(repository, { recursive: true, force: true });
  rmSync(config, { force: true });
  run(`${pgrecall} init main --connection ${quote(source.uri)} --repository ${quote(repository)}`);
  const { bytes } = await source.one<{ bytes: number }>(`SELECT pg_database_size('${database}')::float8 AS bytes`);
  say(`the database has ${(bytes / 1e6).toFixed(0)} MB`);
  for (const comparison of comparisons)
    if (parts.has(comparison.what)) await compare(comparison, Number(values.rounds));
  if (parts.has('changes')) await playChanges();
} finally {
  await source.stop('immediate');
  if (values.keep || values.source !== undefined) say(`everything is left in ${directory}`);
  else rmSync(directory, { recursive: true, force: true });
}

async function compare({ what, ways, check }: Comparison, rounds: number): Promise<void> {
  if (what === 'load') {
    run(ways.length > 0 ? (comparisons[0]?.ways[0]?.command ?? '') : '');
    run(
      `${pgrecall} dump main --database ${database} --json | sed -n 's/^  "id": "\\(.*\\)",$/\\1/p' >${quote(join(work, 'last'))}`,
    );
  }
  const found = new Map<string, Measured[]>();
  for (let round = 0; round < rounds; round += 1) {
    for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
      const before = serverSeconds();
      const measured = await measure({
        steps: [{ command: way.command }],
        env,
        workDirectory: work,
        logFile: join(work, 'log'),
      });
      await check?.();
      found.set(way.name, [...(found.get(way.name) ?? []), { ...measured, serverSeconds: serverSeconds() - before }]);
    }
  }
  const [bare, own] = ways.map(({ name }) => found.get(name) ?? []);
  if (!bare || !own || bare.length === 0) return;
  print(`\n### ${what}\n\n| | wall s | CPU s | of it the server | peak MB |\n|---|---|---|---|---|`);
  for (const { name } of ways) {
    const all = found.get(name) ?? [];
    const cells = [wall, cpu, server].map((of) => median(all, of).toFixed(2));
    print(`| ${[name, ...cells, (median(all, memory) / 1e6).toFixed(0)].join(' | ')} |`);
  }
  print(
    `\nratio: wall ${(median(own, wall) / median(bare, wall)).toFixed(2)}, CPU ${(median(own, cpu) / median(bare, cpu)).toFixed(2)}`,
  );
}

function serverSeconds(): number {
  return source.pid === undefined ? 0 : treeCpuSeconds(source.pid);
}

async function checkLoaded(): Promise<void> {
  const counted = `(SELECT count(*) FROM pgbench_accounts)::text || ' ' || (SELECT count(*) FROM documents)`;
  const of = (name: string): string =>
    execFileSync('psql', ['-XAtc', `SELECT ${counted}`, name], { env, encoding: 'utf8' }).trim();
  if (of('loaded') !== of(database)) throw new Error('what was loaded has other rows');
  await source.sql('DROP DATABASE loaded');
}

/** What dumps store of a database of which a hundredth of the rows changed. */
async function playChanges(): Promise<void> {
  const dump = (...words: readonly string[]): { storedBytes: number; sizeBytes: number } => {
    const command = `${pgrecall} dump main --database ${database} --json ${words.join(' ')}`;
    return JSON.parse(run(command)) as { storedBytes: number; sizeBytes: number };
  };
  const first = dump('--independent');
  const rows: [string, { storedBytes: number }][] = [
    ['the first', first],
    ['nothing changed', dump()],
  ];
  await changeNewest(source, 1);
  rows.push(['the newest 1 % of the rows', dump()]);
  await changeAtRandom(source, 2);
  rows.push(['1 % of the rows, anywhere', dump()]);
  print('\n### changes\n\n| changed since the dump before | stored MB | of the first |\n|---|---|---|');
  for (const [what, { storedBytes }] of rows) {
    print(
      `| ${what} | ${(storedBytes / 1e6).toFixed(1)} | ${((storedBytes / first.storedBytes) * 100).toFixed(1)} % |`,
    );
  }
}

function median(all: readonly Measured[], of: (measured: Measured) => number): number {
  const sorted = all.map(of).toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? 0) + (high ?? 0)) / 2;
}

function run(command: string): string {
  return execFileSync('sh', ['-c', command], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
