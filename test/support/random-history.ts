import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import { changeTimeline } from './changing-load.ts';
import type { Major } from './cluster.ts';
import { crash } from './cold-rig.ts';
import { HistorySite } from './history-site.ts';
import { KeptBackups, readRest, removePutAside } from './kept-backups.ts';
import { Random } from './random.ts';
import { makeRandomLoad, runRandomLoad } from './random-load.ts';
import { opened } from './replayed-truth.ts';

export interface HistoryOptions {
  readonly seed: number;
  readonly steps: number;
  readonly major: Major;
  readonly say: (line: string) => void;
}

type Step = readonly [weight: number, name: string, play: (history: History) => Promise<void>];

interface History {
  readonly random: Random;
  readonly site: HistorySite;
  readonly kept: KeptBackups;
}

/**
 * Plays a history: loads, backups of all kinds, expiries, crashes of the server and of pgrecall, faults. Each backup that
 * is listed restores to the pages that the cluster had when it ended; in the end nothing is left in the repository that
 * no backup needs.
 */
export async function playHistory({ seed, steps, major, say }: HistoryOptions): Promise<void> {
  const random = new Random(seed);
  const options = { dataChecksums: random.chance(0.75), encrypted: random.chance(0.25) };
  const drawn = drawSteps(random, steps);
  await using site = await HistorySite.create(major, options);
  const kept = new KeptBackups(site, say);
  say(`seed ${seed}: PostgreSQL ${major}, ${JSON.stringify(options)}`);
  await makeRandomLoad(site.cluster);
  await site.whileStopped();
  for (const [at, [, name, play]] of drawn.entries()) {
    say(`${at}. ${name}`);
    // Each has its own chance: how often a load asks for it while a backup is taken is not the same each time.
    await play({ random: new Random(seed * 1009 + at), site, kept });
    await kept.settle();
  }
  say('everything that is listed');
  await kept.checkAll();
  kept.checkNothingIsLeft();
}

/** In the beginning a backup, and something that it lacks. */
function drawSteps(random: Random, count: number): Step[] {
  const named = (name: string): Step[] => allSteps.filter((step) => step[1] === name);
  const begin = [...named('load'), ...named('backup'), ...named('load')];
  const candidates = allSteps.map((step) => [step[0], step] as const);
  return [...begin, ...Array.from({ length: count }, () => random.weighted(candidates))];
}

const types = ['full', 'full', 'differential', 'incremental', 'incremental', 'incremental'];

function backupWords({ random }: History): string[] {
  const type = random.pick(types);
  const independent = type === 'full' && random.chance(0.2) ? ['--independent'] : [];
  return ['backup', 'main', '--type', type, ...independent, '--jobs', String(random.between(1, 3))];
}

/** Takes a backup while the cluster is busy. */
async function beside(history: History, takes: () => Promise<unknown>): Promise<void> {
  const { random, site } = history;
  const ended = new AbortController();
  const running = runRandomLoad(site.cluster, new Random(random.between(0, 2 ** 31)), {
    statements: random.pick([0, 20, 500]),
    databases: false,
    signal: ended.signal,
  });
  try {
    await takes();
  } finally {
    ended.abort();
    await running;
  }
}

interface Taken {
  readonly id: string;
}

async function hotBackup(history: History): Promise<void> {
  const words = backupWords(history);
  await beside(history, async () => history.kept.took(await history.site.finished<Taken>(...words)));
}

async function coldBackup(history: History, shutDown: boolean): Promise<void> {
  const { site, kept, random } = history;
  await site.archived(site.cluster);
  if (shutDown) await site.stop();
  else await crash(site.cluster);
  const type = random.pick(types);
  const rest = readRest(site.cluster.dataDirectory, shutDown);
  const record = site.tried<{ id: string }>('backup', 'main', '--cold', '--type', type, '--jobs', '1');
  if (record) kept.tookCold(record.id, rest);
  if (shutDown) site.truth.beginHere();
  await site.cluster.start();
}

async function load(history: History): Promise<void> {
  const statements = history.random.between(5, 30);
  await runRandomLoad(history.site.cluster, history.random, { statements, databases: true });
}

/** Another state of the data checksums, as an administrator makes it. */
async function switchChecksums({ site }: History): Promise<void> {
  await site.whileStopped(() => {
    const { dataDirectory } = site.cluster;
    const to = readControlFile(dataDirectory).control.dataChecksums ? '--disable' : '--enable';
    site.runProgram('pg_checksums', [to, '--pgdata', dataDirectory]);
  });
}

/** Object identifiers begin again, as after a wraparound: files get numbers that others had. WAL begins anew behind what was there. */
async function reuseNumbers({ site }: History): Promise<void> {
  await site.archived(site.cluster);
  await site.whileStopped(() => site.runProgram('pg_resetwal', ['-o', '16400', site.cluster.dataDirectory]));
  // It leaves a checkpoint of wal_level minimal, from which nothing is replayed.
  await site.whileStopped();
}

async function loadUnlogged(history: History): Promise<void> {
  const { site } = history;
  const set = (values: Record<string, string>): void => site.cluster.configure(values);
  await site.archived(site.cluster);
  await site.stop();
  set({ wal_level: 'minimal', archive_mode: 'off', max_wal_senders: '0' });
  await site.cluster.start();
  await load(history);
  await site.stop();
  set({ wal_level: 'replica', archive_mode: 'on', max_wal_senders: '5' });
  await site.cluster.start();
  // What is replayed begins with a checkpoint of the new wal_level.
  await site.whileStopped();
}

/** The cluster goes back to one of its backups, in place, and on along a new timeline. */
async function goBack(history: History): Promise<void> {
  const { site, kept, random } = history;
  const backup = kept.pick(random);
  if (!backup) return;
  const { cluster } = site;
  const settingsFile = join(cluster.dataDirectory, 'postgresql.auto.conf');
  await site.archived(cluster);
  await site.stop();
  const settings = readFileSync(settingsFile);
  const target = ['--target-immediate', '--target-action', 'promote', '--target-timeline', String(backup.timeline)];
  const words = ['--to', cluster.dataDirectory, '--delta', '--discard-wal', '--backup', backup.id];
  site.done('restore', 'main', ...words, ...target);
  // Configuration that was put aside does not belong to what is compared.
  removePutAside(cluster.dataDirectory);
  appendFileSync(settingsFile, settings);
  await cluster.start();
  await opened(cluster);
  await site.whileStopped(() => writeFileSync(settingsFile, settings));
}

async function expireOne({ site, kept, random }: History): Promise<void> {
  const id = kept.pick(random)?.id;
  if (id === undefined) return;
  kept.mayGo([id]);
  if (site.tried('expire', 'main', '--backup', id)) kept.hasGone([id]);
}

interface Plan {
  readonly backups: readonly { readonly id: string; readonly stays: boolean }[];
}

function goes({ backups }: Plan): string[] {
  return backups.filter(({ stays }) => !stays).map(({ id }) => id);
}

/** Rules for this time; WAL stays, since the cluster may go back. */
async function withRules(history: History, happens: () => Promise<void>): Promise<void> {
  const { site, random, kept } = history;
  const before = readFileSync(site.configFile);
  const rules = [`keep_full = ${random.between(1, 3)}`, `keep_incremental = ${random.between(1, 4)}`];
  appendFileSync(site.configFile, `${rules.join('\n')}\nkeep_wal = ${random.chance(0.5) ? '"all"' : '"0 days"'}\n`);
  try {
    kept.mayGo(goes(site.done<Plan>('expire', 'main', '--plan')));
    await happens();
  } finally {
    writeFileSync(site.configFile, before);
  }
}

const allSteps: readonly Step[] = [
  [12, 'load', load],
  [12, 'backup', hotBackup],
  [3, 'cold backup', (history) => coldBackup(history, true)],
  [2, 'cold backup of a crashed server', (history) => coldBackup(history, false)],
  [
    3,
    'killed backup',
    (history) =>
      beside(history, () =>
        history.site.killed(
          history.random.between(100, 3000),
          history.random.pick(['SIGKILL', 'SIGTERM']),
          ...backupWords(history),
        ),
      ),
  ],
  [
    2,
    'backup that cannot store',
    async (history) => {
      const folder = history.random.pick(['packs', 'backups', 'locks', 'claims']);
      await history.site.readOnly(folder, async () => history.site.tried(...backupWords(history), '--timeout', '3'));
    },
  ],
  [1, 'restart', ({ site }) => site.whileStopped()],
  [2, 'crash', ({ site }) => site.cluster.restart('immediate')],
  [
    1,
    'new timeline',
    async ({ site }) => {
      await site.archived(site.cluster);
      await changeTimeline(site.cluster);
      await site.whileStopped();
    },
  ],
  [2, 'back to a backup', goBack],
  [1, 'checksums switched', switchChecksums],
  [1, 'numbers used again', reuseNumbers],
  [1, 'wal_level minimal', loadUnlogged],
  [2, 'WAL lost', (history) => history.site.losingWal(() => load(history))],
  [3, 'expiry of one', expireOne],
  [
    2,
    'expiry by rules',
    (history) => withRules(history, async () => history.kept.hasGone(goes(history.site.done<Plan>('expire', 'main')))),
  ],
  [
    2,
    'killed expiry',
    (history) =>
      withRules(history, () => history.site.killed(history.random.between(100, 1000), 'SIGKILL', 'expire', 'main')),
  ],
  [
    1,
    'expiry that cannot store',
    (history) =>
      withRules(history, async () => {
        const folder = history.random.pick(['packs', 'backups', 'locks']);
        await history.site.readOnly(folder, async () => history.site.tried('expire', 'main'));
      }),
  ],
  [
    1,
    'expiry beside a backup',
    async (history) =>
      beside(history, async () => {
        const taken = history.site.finished<Taken>(...backupWords(history));
        await expireOne(history);
        history.kept.took(await taken);
      }),
  ],
  [1, 'verify', async ({ kept }) => kept.verify('--since', '1h')],
  [2, 'restore of one', ({ kept, random }) => kept.checkSome(random)],
];
