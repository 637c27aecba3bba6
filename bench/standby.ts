import { execFile, execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { SqlSession } from '../src/connection/sql-session.ts';
import { startServer } from '../src/server/start-server.ts';
import { stopServer } from '../src/server/stop-server.ts';
import { fillSource } from './source/fill-source.ts';
import { SourceCluster } from './source/source-cluster.ts';

/*
 * A standby from the repository beside one of pg_basebackup, and replay out of the archive beside replay out of pg_wal:
 * docs/benchmarks.md. As the user postgres, in a directory that stays: `--prepare` makes it, everything else measures there.
 */

const { values } = parseArgs({
  options: {
    directory: { type: 'string' },
    prepare: { type: 'boolean', default: false },
    scale: { type: 'string', default: '140' },
    documents: { type: 'string', default: '500000' },
    tables: { type: 'string', default: '400' },
    transactions: { type: 'string', default: '60000' },
    rounds: { type: 'string', default: '2' },
    only: { type: 'string' },
  },
});
const directory = values.directory ?? '/var/tmp/pgrecall-standby-bench';
const launcher = fileURLToPath(new URL('../bin/pgrecall', import.meta.url));
const config = join(directory, 'pgrecall.toml');
const port = 5433;

if (values.prepare) await prepare();
else await measure();

async function prepare(): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const isThere = existsSync(join(directory, 'source'));
  const source = isThere ? await SourceCluster.at(directory) : await SourceCluster.make(directory);
  if (!isThere) await fillSource(source, sizeOfSource());
  await source.start();
  try {
    await pgrecall(
      'init',
      'main',
      '--connection',
      source.uri,
      '--repository',
      join(directory, 'repository'),
      '--apply',
    );
    await pgrecall('backup', 'main');
    // What is replayed.
    const transactions = Math.ceil(Number(values.transactions) / 2);
    source.client(
      'pgbench',
      ['--no-vacuum', '--client=2', '--jobs=2', `--transactions=${transactions}`, '--random-seed=1'],
      { PGOPTIONS: '-c synchronous_commit=off' },
    );
    await source.sql('SELECT pg_switch_wal()', 'CHECKPOINT');
    await source.drain();
    await pgrecall('backup', 'main', '--independent');
    await source.sql('SELECT pg_switch_wal()');
    await source.drain();
  } finally {
    await source.stop();
  }
}

function sizeOfSource(): { scale: number; documents: number; tables: number } {
  return { scale: Number(values.scale), documents: Number(values.documents), tables: Number(values.tables) };
}

async function measure(): Promise<void> {
  const source = await SourceCluster.at(directory);
  await source.start();
  try {
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const [name, make] of Object.entries({ pgrecall: ofRepository, pg_basebackup: ofPrimary })) {
        if (values.only !== undefined && values.only !== 'create') continue;
        warm(source);
        const target = join(directory, 'standby');
        const reads = watchReads(source.pid ?? 0);
        const startedMs = performance.now();
        await make(source, target);
        await streams(source);
        const seconds = (performance.now() - startedMs) / 1000;
        say({ round, what: 'standby', name, seconds, primaryReadBytes: reads() });
        await stopServer({ programs: source.programs, dataDirectory: target, mode: 'immediate', timeoutMs: 60_000 });
        await source.sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active');
        rmSync(target, { recursive: true });
      }
      for (const from of ['archive', 'pg_wal'] as const) {
        if (values.only !== undefined && values.only !== 'replay') continue;
        say({ round, what: 'replay', name: from, ...(await replay(source, from)) });
      }
    }
  } finally {
    await source.stop('fast');
  }
}

async function ofRepository(_source: SourceCluster, target: string): Promise<void> {
  await pgrecall('standby', 'create', 'main', '--to', target, '--port', String(port), '--start', '--slot', 'measured');
}

async function ofPrimary(source: SourceCluster, target: string): Promise<void> {
  const words = ['-X', 'stream', '-R', '-C', '-S', 'measured', '--checkpoint=fast', '-D', target];
  await run(join(source.programs.binDirectory, 'pg_basebackup'), words, source.clientEnvironment);
  appendFileSync(join(target, 'postgresql.auto.conf'), `port = ${port}\n`);
  await start(source, target);
}

async function start(source: SourceCluster, target: string): Promise<void> {
  const logFile = join(directory, 'standby.log');
  rmSync(logFile, { force: true });
  const signal = AbortSignal.timeout(120_000);
  await startServer({ programs: source.programs, dataDirectory: target, logFile, signal });
}

/** Until the standby streams and can be read: the same for both. */
async function streams(source: SourceCluster): Promise<void> {
  for (;;) {
    try {
      await using session = await SqlSession.connect(`host=${source.socketDirectory} port=${port} user=postgres`);
      const [row] = await session.query<{ status: string }>('SELECT status FROM pg_stat_wal_receiver');
      if (row?.status === 'streaming') return;
    } catch {
      // Not yet.
    }
    await sleep(50);
  }
}

/** Time and rate of redo as the server's log has them, from the same restored backup. */
async function replay(source: SourceCluster, from: 'archive' | 'pg_wal'): Promise<object> {
  const target = join(directory, 'replayed');
  const { backups } = JSON.parse(await pgrecall('list', 'main', '--json')) as { backups: readonly { id: string }[] };
  await pgrecall('restore', 'main', '--to', target, '--port', String(port), '--backup', backups[0]?.id ?? '');
  if (from === 'pg_wal') {
    // Fetched by wal get, before anything is measured; then there is no restore_command that finds anything.
    for (const name of await archivedSegments()) {
      await pgrecall('wal', 'get', name, join(target, 'pg_wal', name), '--cluster', 'main');
    }
    appendFileSync(join(target, 'postgresql.auto.conf'), "restore_command = 'false'\n");
  }
  execFileSync('sync', ['-f', target]);
  await start(source, target);
  const log = join(directory, 'standby.log');
  let done: RegExpExecArray | null = null;
  while (!done) {
    await sleep(100);
    done = /redo done at (\S+) system usage: CPU: user: (\S+) s, system: (\S+) s, elapsed: (\S+) s/.exec(
      readFileSync(log, 'utf8'),
    );
  }
  await stopServer({ programs: source.programs, dataDirectory: target, mode: 'immediate', timeoutMs: 60_000 });
  rmSync(target, { recursive: true });
  const [, end, user, system, elapsed] = done;
  return { end, elapsedSeconds: Number(elapsed), cpuSeconds: Number(user) + Number(system) };
}

async function archivedSegments(): Promise<string[]> {
  const document = JSON.parse(await pgrecall('wal', 'list', 'main', '--json')) as WalList;
  const segmentBytes = 16_777_216;
  return document.ranges.flatMap(({ timeline, fromLsn, toLsn }) => {
    const [first, end] = [fromLsn, toLsn].map((text) => {
      const [high = '0', low = '0'] = text.split('/');
      return Number.parseInt(high, 16) * 256 + Number.parseInt(low, 16) / segmentBytes;
    }) as [number, number];
    const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
    return Array.from({ length: Math.floor(end) - Math.floor(first) }, (_, index) => {
      const number = Math.floor(first) + index;
      return `${hex(timeline)}${hex(Math.floor(number / 256))}${hex(number % 256)}`;
    });
  });
}

interface WalList {
  readonly ranges: readonly { readonly timeline: number; readonly fromLsn: string; readonly toLsn: string }[];
}

/** The files of the source into the page cache: for both the same. */
function warm(source: SourceCluster): void {
  execFileSync('sh', ['-c', 'cat "$0"/base/*/* >/dev/null', source.dataDirectory]);
  execFileSync('sh', ['-c', 'find "$0" -type f -exec cat {} + >/dev/null', join(directory, 'repository')]);
  execFileSync('sync');
}

/** Bytes that processes of the server read (rchar of /proc/<pid>/io) from now until the answer is asked for. */
function watchReads(postmaster: number): () => number {
  const pids = (): number[] => [postmaster, ...childrenOf(postmaster)];
  const before = new Map(pids().map((pid) => [pid, readBytes(pid) ?? 0]));
  const last = new Map<number, number>();
  const look = (): void => {
    for (const pid of pids()) last.set(pid, readBytes(pid) ?? last.get(pid) ?? 0);
  };
  const timer = setInterval(look, 20);
  return () => {
    clearInterval(timer);
    look();
    return [...last].reduce((sum, [pid, bytes]) => sum + bytes - (before.get(pid) ?? 0), 0);
  };
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

function readBytes(pid: number): number | undefined {
  try {
    return Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

/** Not synchronously: the reads are watched meanwhile. */
async function run(
  program: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  return (await promisify(execFile)(program, words, { env: { ...process.env, ...env } })).stdout;
}

async function pgrecall(...words: readonly string[]): Promise<string> {
  return run(launcher, [...words, '--config', config]);
}

function say(what: object): void {
  // What else runs on the machine: with more than its cores a figure says nothing.
  process.stdout.write(`${JSON.stringify({ ...what, load: loadavg()[0] })}\n`);
}
