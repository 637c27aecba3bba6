import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { usualPieceBytes } from '../src/backup/copy-order.ts';
import { createRepository, type Repository } from '../src/repository/repository.ts';
import type { Extent } from '../src/repository/file-map.ts';
import { partsWithin, piecesOf } from '../src/restore/extent-order.ts';
import { restoreInThreads } from '../src/restore/restoring.ts';
import { openStorage } from '../src/storage/open-storage.ts';
import type { StorageLocation } from '../src/storage/storage.ts';
import { MadeUpCluster } from '../test/support/made-up-cluster.ts';
import { changedBlocks, MadeUpIncrements } from '../test/support/made-up-increments.ts';

/*
 * What many increments of scattered updates do to a restore: a relation, of which in each increment some pages change, anywhere.
 * The last increment is restored beside a full backup of the same state that stores everything anew.
 *
 *   node bench/scattered.ts [--megabytes N] [--increments N] [--percent N] [--rounds N] [--jobs N] [--directory DIR]
 */

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '512' },
    increments: { type: 'string', default: '200' },
    percent: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    jobs: { type: 'string', default: '2' },
    directory: { type: 'string', default: tmpdir() },
  },
});

const pageBytes = 8192;
const path = 'base/5/16384';
const pages = Number(values.megabytes) * 128;
const changedPages = Math.round((pages * Number(values.percent)) / 100);
const words = Array.from({ length: 3000 }, () => randomBytes(2 + Math.floor(Math.random() * 5)).toString('hex'));

interface Cost {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

const root = mkdtempSync(join(values.directory, 'pgrecall-scattered-'));
const made = new MadeUpCluster();
try {
  const location: StorageLocation = { kind: 'local', directory: join(root, 'repository') };
  const repository = await createRepository(openStorage(location), { randomBytes, now: () => new Date() });
  const increments = new MadeUpIncrements(made, repository.cluster('main'), usualPieceBytes);
  increments.dataChecksums = false;
  made.write(path, '');
  for (let page = 0; page < pages; page += 1) writePage(page);
  await increments.copy({ kind: 'all' });
  const storedBefore = storedBytes(increments);
  for (let i = 1; i <= Number(values.increments); i += 1) {
    const changed = new Set(Array.from({ length: changedPages }, () => Math.floor(Math.random() * pages)));
    for (const page of changed) writePage(page);
    await increments.copy({ kind: 'wal', changed: changedBlocks(new Map([[path, [...changed]]])) });
    if (i % 10 === 0) process.stderr.write(`${i} increments\n`);
  }
  const last = increments.last?.id ?? '';
  const perIncrement = (storedBytes(increments) - storedBefore) / Number(values.increments);
  const full = (await increments.copy({ kind: 'all' })).id;
  say(
    `${values.megabytes} MB, ${values.increments} increments of ${values.percent} % of the pages, ${values.jobs} threads`,
  );
  say(
    `stored by an increment: ${(perIncrement / 1e6).toFixed(1)} MB for ${((changedPages * pageBytes) / 1e6).toFixed(1)} MB changed`,
  );
  await compareRestores(repository, location, { last, full });
} finally {
  made[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A page of words, some often and most seldom. */
function writePage(page: number): void {
  const text: string[] = [];
  for (let bytes = 0; bytes <= pageBytes;) {
    const word = words[Math.floor(words.length * Math.random() ** 3)] ?? '';
    text.push(word);
    bytes += word.length + 1;
  }
  const descriptor = openSync(made.path(path), 'r+');
  writeSync(descriptor, Buffer.from(text.join(' ')), 0, pageBytes, page * pageBytes);
  closeSync(descriptor);
}

function storedBytes({ cluster }: MadeUpIncrements): number {
  const packs = join(root, 'repository', cluster.keyOf('packs'));
  return readdirSync(packs).reduce((sum, name) => sum + statSync(join(packs, name)).size, 0);
}

/** Restores each in turn; medians. */
async function compareRestores(
  repository: Repository,
  location: StorageLocation,
  ids: { readonly last: string; readonly full: string },
): Promise<void> {
  const restored: Record<keyof typeof ids, Cost[]> = { last: [], full: [] };
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const name of ['last', 'full'] as const) restored[name].push(await restore(repository, location, ids[name]));
  }
  const [last, full] = [medians(restored.last), medians(restored.full)];
  const ratio = (a: number, b: number): string => (a / b).toFixed(2);
  say('| restore of | wall s | CPU s |\n| --- | ---: | ---: |');
  say(`| a fresh full backup | ${full.wallSeconds.toFixed(2)} | ${full.cpuSeconds.toFixed(2)} |`);
  say(`| the last increment | ${last.wallSeconds.toFixed(2)} | ${last.cpuSeconds.toFixed(2)} |`);
  say(`| times | ${ratio(last.wallSeconds, full.wallSeconds)} | ${ratio(last.cpuSeconds, full.cpuSeconds)} |`);
  for (const name of ['full', 'last'] as const) {
    const { blobs, blobBytes, extents } = await layout(repository, ids[name]);
    const volume = (blobBytes / (pages * pageBytes)).toFixed(2);
    say(`${name}: ${extents} extents in ${blobs} blobs, which hold ${volume} times its bytes`);
  }
}

async function mapOf(repository: Repository, id: string): Promise<readonly Extent[]> {
  await using manifest = await repository.cluster('main').openManifest(id);
  for await (const entry of manifest.entries()) if (entry.path === path) return (await entry.loadMaps()).extents;
  throw new Error(`${id} has no ${path}`);
}

async function layout(
  repository: Repository,
  id: string,
): Promise<{ readonly extents: number; readonly blobs: number; readonly blobBytes: number }> {
  const extents = await mapOf(repository, id);
  const blobs = new Map(extents.map(({ pack, blob }) => [`${pack} ${blob.offset}`, blob.plainBytes]));
  return {
    extents: extents.length,
    blobs: blobs.size,
    blobBytes: [...blobs.values()].reduce((sum, bytes) => sum + bytes, 0),
  };
}

async function restore(repository: Repository, location: StorageLocation, id: string): Promise<Cost> {
  const target = join(root, 'restored');
  rmSync(target, { force: true });
  closeSync(openSync(target, 'w'));
  const map = await mapOf(repository, id);
  const restoring = restoreInThreads(repository.access(location), 'main', Number(values.jobs));
  try {
    // Threads that have started and have nothing to do yet.
    await restoring.restore([]);
    const [startedMs, used] = [performance.now(), process.cpuUsage()];
    const items = [...piecesOf(pages * pageBytes)].map((range) => ({
      absolutePath: target,
      attributes: undefined,
      extents: partsWithin(map, [range]),
    }));
    await Promise.all(items.map(async (item) => restoring.restore([item])));
    const { user, system } = process.cpuUsage(used);
    return { wallSeconds: (performance.now() - startedMs) / 1000, cpuSeconds: (user + system) / 1e6 };
  } finally {
    await restoring.close();
  }
}

function medians(costs: readonly Cost[]): Cost {
  const median = (key: keyof Cost): number => {
    const sorted = costs.map((cost) => cost[key]).toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  };
  return { wallSeconds: median('wallSeconds'), cpuSeconds: median('cpuSeconds') };
}
