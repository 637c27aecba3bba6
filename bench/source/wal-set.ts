import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { insertDocuments } from './fill-source.ts';
import type { SourceCluster } from './source-cluster.ts';

/**
 * Finished segments of the source as they lie in a data directory, with nothing archived yet: what an archive_command
 * is called for.
 */
export interface WalSet {
  /** Looks like a data directory. */
  readonly directory: string;
  /** In order. */
  readonly segments: readonly string[];
}

const firstDocument = 1_000_000_000;

/** Has the running source write WAL, of pgbench's transactions and of documents, until there are so many segments. */
export async function makeWalSet(cluster: SourceCluster, directory: string, count: number): Promise<WalSet> {
  const pgWal = join(directory, 'pg_wal');
  mkdirSync(join(pgWal, 'archive_status'), { recursive: true, mode: 0o700 });
  mkdirSync(join(directory, 'global'));
  const segments = (): string[] => readdirSync(pgWal).filter((name) => /^[0-9A-F]{24}$/.test(name));
  await cluster.archiveWith(`cp "%p" "${pgWal}/%f"`);
  for (let turn = 0; segments().length < count; turn += 1) {
    const transactions = 200 + count * 10;
    cluster.client(
      'pgbench',
      ['--no-vacuum', '--client=2', '--jobs=2', `--transactions=${transactions}`, `--random-seed=${turn + 1}`],
      { PGOPTIONS: '-c synchronous_commit=off' },
    );
    await insertDocuments(cluster, firstDocument + turn * 100_000, 20 * count);
    if (turn % 3 === 2) await cluster.sql('CHECKPOINT');
    await cluster.drain();
  }
  await cluster.archiveWith('true');
  for (const name of segments().toSorted().slice(count)) rmSync(join(pgWal, name));
  // Twice: the second one tidies up after ANALYZE, so that no page changes when it is next looked at.
  await cluster.sql('VACUUM (FREEZE, ANALYZE)', 'VACUUM (FREEZE)', 'SELECT pg_switch_wal()', 'CHECKPOINT');
  await cluster.drain();
  // What a tool looks at to see whose WAL it is.
  copyFileSync(join(cluster.dataDirectory, 'PG_VERSION'), join(directory, 'PG_VERSION'));
  copyFileSync(join(cluster.dataDirectory, 'global', 'pg_control'), join(directory, 'global', 'pg_control'));
  return { directory, segments: segments().toSorted() };
}

/** As the server leaves them to its archiver. */
export function markReady({ directory, segments }: WalSet): void {
  const status = join(directory, 'pg_wal', 'archive_status');
  for (const name of readdirSync(status)) rmSync(join(status, name));
  for (const segment of segments) writeFileSync(join(status, `${segment}.ready`), '');
}
