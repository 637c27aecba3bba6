import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import { TestCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { readClusterPages, type ClusterPages } from './page-digests.ts';
import { giveToServer } from './server-user.ts';

/*
 * What a cluster was at a position of its WAL, found without the program under test: a copy of the stopped cluster,
 * made with cp, to which PostgreSQL replays WAL that archive_command has put aside.
 */
export class ReplayedTruth {
  /** Every finished WAL file, as the server had it. */
  readonly spool: string;
  readonly #cluster: TestCluster;
  readonly #directory: string;

  constructor(cluster: TestCluster, directory: string) {
    this.#cluster = cluster;
    this.#directory = directory;
    this.spool = join(directory, 'spool');
    for (const path of [directory, this.spool]) {
      mkdirSync(path, { mode: 0o755 });
      giveToServer(path);
    }
  }

  /** A shell command that puts the file aside whose path and name are $1 and $2. */
  get putAside(): string {
    return `{ cp "$1" '${this.spool}'/"$2.$$" && mv '${this.spool}'/"$2.$$" '${this.spool}'/"$2"; }`;
  }

  /** Copies the cluster, which is stopped cleanly: replay begins here from now on. */
  beginHere(): void {
    const { state } = readControlFile(this.#cluster.dataDirectory).control;
    if (state !== 'shut down') throw new Error(`replay cannot begin with a server that is ${state}`);
    this.#copy(this.#cluster.dataDirectory, 'base');
  }

  /** All pages just after the record that ends at `endLsn`; WAL up to there has been put aside. */
  async pagesAt(endLsn: string, timeline: number): Promise<ClusterPages> {
    const directory = this.#copy(join(this.#directory, 'base'), 'replayed');
    return replayedPages(directory, this.#cluster.major, {
      restore_command: `cp ${this.spool}/%f "%p"`,
      recovery_target_lsn: endLsn,
      recovery_target_inclusive: 'off',
      recovery_target_timeline: String(timeline),
    });
  }

  #copy(from: string, name: string): string {
    const to = join(this.#directory, name);
    // ext4 makes files slowly for minutes after many were deleted, but space is scarce.
    rmSync(to, { recursive: true, force: true });
    rmSync(`${to}.tablespaces`, { recursive: true, force: true });
    execFileSync('cp', ['-a', '--reflink=auto', from, to]);
    const links = join(to, 'pg_tblspc');
    for (const oid of readdirSync(links)) {
      const place = join(`${to}.tablespaces`, oid);
      mkdirSync(`${to}.tablespaces`, { recursive: true });
      giveToServer(`${to}.tablespaces`);
      execFileSync('cp', ['-a', '--reflink=auto', readlinkSync(join(links, oid)), place]);
      rmSync(join(links, oid));
      symlinkSync(place, join(links, oid));
    }
    rmSync(join(to, 'postmaster.pid'), { force: true });
    return to;
  }
}

/**
 * Starts a directory, waits until it has recovered and is open, stops it cleanly and reads it. Settings that are given win over
 * its own; with any, it is told to recover.
 */
export async function replayedPages(
  directory: string,
  major: TestCluster['major'],
  settings: Readonly<Record<string, string>> = {},
): Promise<ClusterPages> {
  if (Object.keys(settings).length > 0) {
    writeFileSync(join(directory, 'recovery.signal'), '');
    giveToServer(join(directory, 'recovery.signal'));
  }
  await using server = await TestCluster.over(directory, major, {
    archive_mode: 'off',
    autovacuum: 'off',
    recovery_target_action: 'promote',
    ...settings,
  });
  await opened(server);
  await server.stop();
  return readClusterPages(directory);
}

/** Waits until a server has ended its recovery, if it was in one. */
export async function opened(server: TestCluster): Promise<void> {
  await eventually(
    () => `the server opens:\n${server.log().slice(-3000)}`,
    () => {
      if (!server.isRunning()) throw new Error(`the server ended in its recovery:\n${server.log().slice(-3000)}`);
      return readControlFile(server.dataDirectory).control.state === 'in production';
    },
  );
}
