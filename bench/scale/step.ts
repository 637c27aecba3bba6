import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { WalStore } from '../../src/archive/wal-store.ts';
import { copyFiles } from '../../src/backup/copy-files.ts';
import type { Evidence } from '../../src/backup/look-at-file.ts';
import { BackupManifestWriter } from '../../src/postgres/backup-manifest.ts';
import { systemIdentifier } from '../../src/postgres/system-identifier.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import { createRepository, openRepository } from '../../src/repository/repository.ts';
import type { Placing } from '../../src/restore/place-entries.ts';
import { writeFiles } from '../../src/restore/write-files.ts';
import { nodeFileSystem } from '../../src/storage/local-file-system.ts';
import { LocalStorage } from '../../src/storage/local.ts';
import { forkNumbers } from '../../src/wal/wal-event.ts';
import { changedOf, filesOf, pageBytes, walkOf, type LargeCluster } from '../made-up/large-cluster.ts';
import { LargeCopying } from '../made-up/large-copying.ts';
import { writeConfiguration } from '../made-up/repository.ts';
import { madeUpSystem, segmentBytes } from '../made-up/segment.ts';
import { WalMaker } from '../made-up/wal.ts';
import { madeUpRecord, madeUpRun } from './made-up-record.ts';

/*
 * One step of bench/large-scale.ts, as a process of its own so that its memory is its own:
 *
 *   node bench/scale/step.ts make|full|increment|restore DIRECTORY BYTES FILES PAGES-FOR-ONE-CHANGED GENERATION
 */

const [step = '', directory = '', bytes, files, pagesForOneChanged, generationText] = process.argv.slice(2);
const cluster: LargeCluster = {
  bytes: Number(bytes),
  files: Number(files),
  pagesForOneChanged: Number(pagesForOneChanged),
};
const generation = Number(generationText);
const repositoryDirectory = join(directory, 'repository');
/** What is read here in a moment need not survive a power cut. */
const storage = new LocalStorage(repositoryDirectory, {
  ...nodeFileSystem,
  fsyncSync: () => undefined,
  fdatasyncSync: () => undefined,
});

/** With the WAL of some days, as it is archived. */
async function makeRepository(): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const repository = await createRepository(storage, { randomBytes, now: () => new Date() });
  const made = repository.cluster('main');
  const incarnation = {
    number: 1,
    systemIdentifier: String(madeUpSystem),
    postgresMajor: 15,
    segmentBytes,
    since: '2026-01-01T00:00:00.000Z',
  };
  await made.writeCluster({ name: 'main', incarnations: [incarnation] });
  await new WalMaker(new WalStore(made, incarnation), repositoryDirectory, directory).make([madeUpRun]);
  writeConfiguration(directory, repositoryDirectory, undefined);
}

async function openCluster(): Promise<ClusterRepository> {
  return (await openRepository(storage)).cluster('main');
}

/** All that a backup does but for reading and storing content, which nobody has. */
async function backUp(repository: ClusterRepository, referenceId: string | undefined): Promise<void> {
  const { id } = madeUpRecord(generation);
  const copying = new LargeCopying(id);
  const manifest = await repository.createManifest(id);
  await using stack = new AsyncDisposableStack();
  const reference = referenceId === undefined ? undefined : stack.use(await repository.openManifest(referenceId));
  const copied = await copyFiles({
    entries: walkOf(cluster, generation),
    copying,
    manifest,
    owners: { user: () => 'postgres', group: () => 'postgres' },
    dataChecksums: true,
    relationSegmentBlocks: 131_072,
    reference: reference && { entries: reference.entries(), evidence: madeUpEvidence(), badPages: new Map() },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  await copying.finish();
  const { packs } = manifest;
  await manifest.finish();
  for (const pack of copying.packs) makeUpPack(repository, pack.id, pack.sizeBytes);
  await repository.writeRecord(id, {
    ...madeUpRecord(generation),
    packs,
    sizeBytes: copied.sizeBytes,
    files: copied.files,
  });
  process.stdout.write(
    `${JSON.stringify({ ...copied, badPages: undefined, packs: packs.length, storedBytes: manifest.storedBytes })}\n`,
  );
}

/** Of large relations scattered blocks, of one in twenty small ones as well. */
function madeUpEvidence(): Evidence {
  const sizes = new Map<number, number>();
  for (const { sizeBytes, relation, database } of filesOf(cluster)) {
    if (sizeBytes > 10_000_000) sizes.set(database * 1e6 + relation, sizeBytes / pageBytes);
  }
  return {
    kind: 'wal',
    changed: {
      blockCount: 0,
      of: ({ dbOid, relNumber, fork }) => {
        if (fork !== forkNumbers.main) return undefined;
        const count = sizes.get(dbOid * 1e6 + relNumber);
        if (count === undefined)
          return relNumber % 20 === generation ? { whole: false, blocks: Uint32Array.of(0, 1) } : undefined;
        return { whole: false, blocks: changedOf(cluster, generation, relNumber, count) };
      },
    },
  };
}

/** A file that takes no space: expire looks at its size. */
function makeUpPack(repository: ClusterRepository, id: string, sizeBytes: number): void {
  const path = join(repositoryDirectory, repository.keyOf(`packs/${id}`));
  mkdirSync(join(path, '..'), { recursive: true });
  const file = openSync(path, 'w');
  ftruncateSync(file, sizeBytes);
  closeSync(file);
}

/** What the main thread does in a restore in place: every map is read, of contents and of sums, and goes to threads in pieces. */
async function planRestore(repository: ClusterRepository): Promise<void> {
  const { id } = madeUpRecord(generation);
  await using manifest = await repository.openManifest(id);
  let [items, textBytes] = [0, 0];
  const written = await writeFiles({
    manifest,
    placing: alreadyThere,
    leftAlone: new Set(),
    leftOut: new Set(),
    directory: '/nowhere',
    tablespaces: new Map(),
    owner: () => undefined,
    backupManifest: new BackupManifestWriter({ postgresMajor: 15, systemIdentifier: systemIdentifier(madeUpSystem) }),
    writeBackupManifest: (text) => (textBytes += text.length),
    restoring: {
      parallel: 4,
      restore: async (some) => {
        items += structuredClone(some).length;
        return { newBytes: 0, comparedBytes: 0, changedBytes: 0 };
      },
      close: async () => undefined,
    },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  process.stdout.write(`${JSON.stringify({ files: written.files, items, textBytes })}\n`);
}

const alreadyThere: Placing = {
  makeDirectory: () => undefined,
  finishDirectory: () => undefined,
  makeLink: () => undefined,
  presentFile: () => ({ sizeBytes: 0, hasAttributes: true }),
  only: true,
};

if (step === 'make') await makeRepository();
else if (step === 'full') await backUp(await openCluster(), undefined);
else if (step === 'increment') await backUp(await openCluster(), madeUpRecord(generation - 1).id);
else if (step === 'restore') await planRestore(await openCluster());
else throw new Error(`no step "${step}"`);
