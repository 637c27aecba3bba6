import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WalStore } from '../../src/archive/wal-store.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { nodeFileSystem } from '../../src/storage/local-file-system.ts';
import { LocalStorage } from '../../src/storage/local.ts';
import { makeUpBackups } from './backups.ts';
import { makeUpRuns } from './layout.ts';
import { madeUpSystem, segmentBytes } from './segment.ts';
import { WalMaker } from './wal.ts';

export interface MadeUpOptions {
  /** Has to be empty, or not there. */
  readonly directory: string;
  readonly segments: number;
  readonly backups: number;
  readonly passphrase?: string;
}

/** Nobody misses what a power cut would take from it. */
const withoutSync = { ...nodeFileSystem, fsyncSync: () => {}, fdatasyncSync: () => {} };

/** Makes a repository of one cluster, `main`, and a configuration for it. */
export async function makeUpRepository(options: MadeUpOptions): Promise<void> {
  const { directory, segments, backups, passphrase } = options;
  const repositoryDirectory = join(directory, 'repository');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const repository = await createRepository(new LocalStorage(repositoryDirectory, withoutSync), {
    ...(passphrase === undefined ? {} : { passphrase }),
    randomBytes,
    now: () => new Date(),
  });
  const cluster = repository.cluster('main');
  const incarnation = {
    number: 1,
    systemIdentifier: String(madeUpSystem),
    postgresMajor: 15,
    segmentBytes,
    since: '2026-01-01T00:00:00.000Z',
  };
  await cluster.writeCluster({ name: 'main', incarnations: [incarnation] });
  const runs = makeUpRuns(segments);
  await new WalMaker(new WalStore(cluster, incarnation), repositoryDirectory, directory).make(runs);
  await makeUpBackups(cluster, runs, backups);
  writeConfiguration(directory, repositoryDirectory, passphrase);
}

/** `directory`: where it goes. */
export function writeConfiguration(directory: string, repository: string, passphrase: string | undefined): void {
  const lines = [`repository = ${JSON.stringify(repository)}`];
  if (passphrase !== undefined) {
    const passphraseFile = join(directory, 'passphrase');
    writeFileSync(passphraseFile, `${passphrase}\n`, { mode: 0o600 });
    lines.push(`passphrase_file = ${JSON.stringify(passphraseFile)}`);
  }
  lines.push('', '[clusters.main]', 'connection = "host=/nowhere dbname=postgres"');
  writeFileSync(configurationIn(directory), `${lines.join('\n')}\n`);
}

/** Written last: where it is, the repository is whole. */
export function configurationIn(directory: string): string {
  return join(directory, 'pgrecall.toml');
}
