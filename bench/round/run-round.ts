import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { quote, type Contender, type Site } from '../contenders/contender.ts';
import { slug } from '../contenders/contenders.ts';
import { machineCpuSeconds } from '../measuring/machine-use.ts';
import { measure, type Step } from '../measuring/measure.ts';
import { preparePageCache } from '../measuring/page-cache.ts';
import { processCpuSeconds, treeCpuSeconds } from '../measuring/process-tree.ts';
import type { SourceCluster } from '../source/source-cluster.ts';
import { markReady, type WalSet } from '../source/wal-set.ts';
import { checkRestored, checkSame } from './check-copies.ts';
import { playIncrements } from './increments.ts';
import type { Operation, Result } from './result.ts';

export interface RoundOptions {
  readonly number: number;
  readonly contenders: readonly Contender[];
  readonly source: SourceCluster;
  readonly walSet: WalSet;
  /** Everything of this round goes into a directory of its own in it. */
  readonly directory: string;
  readonly jobs: number;
  /** How many increments are taken before the last restore; 0 for none at all. */
  readonly increments: number;
  /** The process that all others descend from, see run-steps.pl. */
  readonly reaper: number;
  readonly report: (result: Result) => void;
}

/**
 * One round: every contender takes its backup, then every one restores its own, archives the prepared WAL, and fetches
 * it again. So that none runs long after another, and all find the machine in the same state.
 */
export async function runRound(options: RoundOptions): Promise<void> {
  const round = new Round(options);
  const each = async (run: (contender: Contender, site: Site) => Promise<void>): Promise<void> => {
    for (const contender of options.contenders) await run(contender, round.siteOf(contender));
  };
  await each(async (contender, site) => round.backUp(contender, site));
  await each(async (contender, site) => round.restore(contender, site));
  await each(async (contender, site) => round.archive(contender, site));
  await each(async (contender, site) => round.fetch(contender, site));
  if (options.increments > 0) await each(async (contender, site) => round.increments(contender, site));
}

class Round {
  readonly #options: RoundOptions;
  readonly #sites = new Map<Contender, Site>();
  /** What the source archived with when a contender had been set up. */
  readonly #archiveCommands = new Map<Contender, string>();
  #changes = 0;

  constructor(options: RoundOptions) {
    this.#options = options;
  }

  siteOf(contender: Contender): Site {
    const { directory: base, number, source, jobs } = this.#options;
    let site = this.#sites.get(contender);
    if (site) return site;
    const directory = join(base, `round-${number}`, slug(contender));
    const env = {
      PATH: `${source.programs.binDirectory}:${process.env['PATH']}`,
      HOME: directory,
      LC_ALL: 'C.UTF-8',
      ...source.clientEnvironment,
    };
    site = { directory, repository: join(directory, 'repository'), source, jobs, env };
    mkdirSync(site.repository, { recursive: true, mode: 0o700 });
    this.#sites.set(contender, site);
    return site;
  }

  async backUp(contender: Contender, site: Site): Promise<void> {
    const { source } = this.#options;
    await contender.setUp(site);
    this.#archiveCommands.set(contender, await source.archiveCommand());
    await source.sql('SELECT pg_switch_wal()', 'CHECKPOINT');
    await source.drain();
    preparePageCache([join(source.dataDirectory, 'base'), join(source.dataDirectory, 'global')], this.#junkFile);
    await this.#measure('backup', contender, site, [{ command: contender.backup(site) }, flush(site.repository)]);
    await source.archiveWith('true');
    await contender.endProcesses?.(site);
  }

  async restore(contender: Contender, site: Site): Promise<void> {
    const target = targetOf(site);
    mkdirSync(target, { mode: 0o700 });
    preparePageCache([site.repository], this.#junkFile);
    await this.#measure('restore', contender, site, [{ command: contender.restore(site, target) }, flush(target)]);
    checkRestored(this.#options.source.dataDirectory, target);
    emptyFiles(join(target, 'base'));
  }

  async archive(contender: Contender, site: Site): Promise<void> {
    if (!contender.wal) return;
    const { walSet } = this.#options;
    const command = contender.wal.archiveCommand(site, walSet.directory);
    const status = join('pg_wal', 'archive_status');
    const steps = walSet.segments.map((segment) => ({
      command: expand(command, segment, join('pg_wal', segment)),
      rename: { from: join(status, `${segment}.ready`), to: join(status, `${segment}.done`) },
    }));
    markReady(walSet);
    preparePageCache([walSet.directory], this.#junkFile);
    await this.#measure('archive', contender, site, [...steps, flush(site.repository)], walSet.directory);
  }

  async fetch(contender: Contender, site: Site): Promise<void> {
    if (!contender.wal) return;
    const { walSet } = this.#options;
    const target = targetOf(site);
    const fetched = join(site.directory, 'fetched');
    mkdirSync(fetched);
    const command = contender.wal.restoreCommand(site, target);
    const place = join('pg_wal', 'RECOVERYXLOG');
    const steps = walSet.segments.map((segment) => ({
      command: expand(command, segment, place),
      rename: { from: place, to: join(fetched, segment) },
    }));
    preparePageCache([site.repository], this.#junkFile);
    await this.#measure('fetch', contender, site, steps, target);
    for (const segment of walSet.segments) checkSame(join(walSet.directory, 'pg_wal', segment), join(fetched, segment));
    const over = contender.increments && this.#options.increments > 0 ? [] : [site.repository];
    for (const done of [fetched, target, ...over]) emptyFiles(done);
  }

  async increments(contender: Contender, site: Site): Promise<void> {
    if (!contender.increments) return;
    const { source, increments, number } = this.#options;
    await source.archiveWith(this.#archiveCommands.get(contender) ?? 'true');
    await playIncrements({
      contender,
      site,
      source,
      increments,
      nextChange: () => number * 100_000 + (this.#changes += 1),
      measure: async (operation, command, cached) => {
        preparePageCache(cached, this.#junkFile);
        await this.#measure(operation, contender, site, [{ command }, flush(site.directory)]);
      },
      run: async (command) => {
        execFileSync('sh', ['-c', command], { env: site.env, stdio: ['ignore', 'ignore', 'pipe'] });
      },
      makeTarget: (name) => {
        const target = join(site.directory, name);
        mkdirSync(target, { mode: 0o700 });
        return target;
      },
      check: (target) => checkRestored(source.dataDirectory, target),
    });
    await source.archiveWith('true');
    await contender.endProcesses?.(site);
    for (const done of ['over', 'incremented', 'full']) emptyFiles(join(site.directory, done));
    emptyFiles(site.repository);
  }

  async #measure(
    operation: Operation,
    contender: Contender,
    { directory, repository, env }: Site,
    steps: readonly Step[],
    cwd = '/',
  ): Promise<void> {
    const { number: round, reaper, report } = this.#options;
    const stored = sizeOf(repository);
    // All that lives below the reaper, and what of it has ended, but not what this process has waited for: the server,
    // and whatever of it has detached itself.
    const serverSeconds = (): number => treeCpuSeconds(reaper) - processCpuSeconds(process.pid);
    const before = { server: serverSeconds(), machine: machineCpuSeconds(), own: process.cpuUsage() };
    const logFile = join(directory, `${operation}.log`);
    const measured = await measure({ steps, env, workDirectory: directory, cwd, logFile });
    const server = serverSeconds() - before.server;
    const machine = machineCpuSeconds();
    const own = process.cpuUsage(before.own);
    const used = measured.userSeconds + measured.systemSeconds + server + (own.user + own.system) / 1e6;
    const foreign = machine.busy - before.machine.busy - used + machine.stolen - before.machine.stolen;
    report({
      contender: contender.name,
      operation,
      round,
      ...measured,
      serverSeconds: server,
      foreignSeconds: Math.max(0, foreign),
      storedBytes: sizeOf(repository) - stored,
    });
  }

  get #junkFile(): string {
    return join(this.#options.directory, 'junk');
  }
}

function targetOf({ directory }: Site): string {
  return join(directory, 'restored');
}

/** Everybody's backup has to be on the disk in the end, whether its tool sees to that or not. */
function flush(path: string): Step {
  return { command: `sync -f ${quote(path)}` };
}

function expand(command: string, segment: string, path: string): string {
  return command.replaceAll('%f', segment).replaceAll('%p', path);
}

function sizeOf(directory: string): number {
  return Number(execFileSync('du', ['-sb', directory], { encoding: 'utf8' }).split('\t', 1)[0]);
}

/**
 * Frees the disk but deletes nothing: after many files were deleted ext4 makes new ones slowly for some minutes, which
 * whoever comes next would pay for.
 */
function emptyFiles(directory: string): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && entry.name !== 'pg_control' && statSync(path).size > 0) truncateSync(path);
  }
}
