import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WalStore } from '../../src/archive/wal-store.ts';
import { backupServer } from '../../src/backup/backup-server.ts';
import { copyInThreads } from '../../src/backup/copying.ts';
import { takeHotBackup, type HotBackupOptions } from '../../src/backup/hot-backup.ts';
import { readControlFile } from '../../src/backup/read-control-file.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../../src/repository/cluster-repository.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { executeRestore } from '../../src/restore/execute-restore.ts';
import { planTargetIn } from '../../src/restore/plan-target.ts';
import type { RestorePlan } from '../../src/restore/restore-plan.ts';
import { restoreInThreads } from '../../src/restore/restoring.ts';
import type { Database } from '../../src/restore/selected-databases.ts';
import { parseTarget, type TargetOptions } from '../../src/restore/target.ts';
import { mapTablespaces } from '../../src/restore/target-directory.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import { fullPostgres } from './full-postgres.ts';
import { TestCluster, type Major, type TestClusterOptions } from './cluster.ts';
import { giveToServer, serverOwner, type ServerUser } from './server-user.ts';

/** What a test may say otherwise about a backup. */
export type BackupChanges = Partial<HotBackupOptions> & { readonly jobs?: number };

/**
 * A real cluster that archives, and a repository on disk for it. archive_command puts segments into a spool, which is
 * pushed through `WalStore`; a restored cluster fetches from a directory that is filled from it.
 */
export class BackupRig implements AsyncDisposable {
  readonly directory: string;
  readonly cluster: TestCluster;
  readonly repository: Repository;
  readonly repositoryDirectory: string;
  readonly incarnation: Incarnation;
  readonly store: WalStore;
  readonly #restored: AsyncDisposable[] = [];
  #restores = 0;

  private constructor(directory: string, cluster: TestCluster, repository: Repository) {
    this.directory = directory;
    this.cluster = cluster;
    this.repository = repository;
    this.repositoryDirectory = join(directory, 'repository');
    const { control } = readControlFile(cluster.dataDirectory);
    this.incarnation = {
      number: 1,
      systemIdentifier: control.systemIdentifier,
      postgresMajor: control.postgresMajor,
      segmentBytes: control.segmentBytes,
      since: new Date().toISOString(),
    };
    this.store = new WalStore(this.clusterRepository, this.incarnation);
  }

  static async create(options: TestClusterOptions & { readonly passphrase?: string }): Promise<BackupRig> {
    const directory = mkdtempSync(join(tmpdir(), 'pgr-rig-'));
    chmodSync(directory, 0o711);
    for (const name of ['spool', 'fetch', 'restored', 'tablespaces']) {
      mkdirSync(join(directory, name), { mode: 0o755 });
      giveToServer(join(directory, name));
    }
    const cluster = await TestCluster.create({
      ...options,
      settings: {
        archive_mode: 'on',
        archive_command: `test ! -e ${directory}/spool/%f && cp %p ${directory}/spool/%f.tmp && mv ${directory}/spool/%f.tmp ${directory}/spool/%f`,
        max_wal_senders: '4',
        ...options.settings,
      },
    });
    const { passphrase } = options;
    const repository = await createRepository(
      openStorage({ kind: 'local', directory: join(directory, 'repository') }),
      {
        ...(passphrase === undefined ? {} : { passphrase, scryptCost: 16 }),
        randomBytes,
        now: () => new Date(),
      },
    );
    const rig = new BackupRig(directory, cluster, repository);
    await rig.clusterRepository.writeCluster({ name: 'main', incarnations: [rig.incarnation] });
    return rig;
  }

  /** How many times something was restored. */
  get restores(): number {
    return this.#restores;
  }

  get clusterRepository(): ClusterRepository {
    return this.repository.cluster('main');
  }

  /** A directory of the servers' user for a tablespace. */
  tablespace(name: string): string {
    const path = join(this.directory, 'tablespaces', name);
    mkdirSync(path, { mode: 0o700 });
    giveToServer(path);
    return path;
  }

  /** Pushes what archive_command has brought; one segment after the other. */
  async archive(): Promise<void> {
    const spool = join(this.directory, 'spool');
    for (const name of readdirSync(spool).toSorted()) {
      if (name.endsWith('.tmp')) continue;
      await this.store.put(name, readFileSync(join(spool, name)));
    }
  }

  /** Switches the segment and waits until everything up to now is in the repository. */
  async archiveAll(): Promise<void> {
    await using session = await this.cluster.session();
    // Where nothing was written since the last switch, there is nothing to switch.
    await session.query("SELECT pg_logical_emit_message(false, 'pgrecall', 'switch')");
    const [row] = await session.query<{ name: string }>('SELECT pg_walfile_name(pg_switch_wal()) AS name');
    const path = join(this.directory, 'spool', row?.name ?? '');
    for (let tries = 0; !existsSync(path); tries += 1) {
      if (tries > 2000) throw new Error(`the server does not archive:\n${this.cluster.log()}`);
      await sleep(10);
    }
    await this.archive();
  }

  async backUp(changes: BackupChanges = {}): Promise<BackupRecord> {
    await using session = await this.cluster.session();
    const { jobs = 2, ...rest } = changes;
    const access = this.repository.access({ kind: 'local', directory: this.repositoryDirectory });
    return await takeHotBackup({
      cluster: this.clusterRepository,
      incarnation: this.incarnation,
      store: this.store,
      server: backupServer(session),
      dataDirectory: this.cluster.dataDirectory,
      copying: (startLsn) => copyInThreads(access, 'main', startLsn, jobs),
      note: '',
      keep: false,
      walTimeoutMs: 30_000,
      now: () => new Date(),
      randomBytes,
      signal: AbortSignal.timeout(120_000),
      onProgress: () => undefined,
      say: () => undefined,
      ...rest,
    });
  }

  async plan(target: TargetOptions, named?: BackupRecord): Promise<RestorePlan> {
    const backups = await this.clusterRepository.listBackups();
    return planTargetIn(this.store, { backups, named, request: parseTarget(target) });
  }

  /** Restores to a new directory, ready to be started. */
  async restore(
    plan: RestorePlan,
    options: { readonly tablespaces?: readonly string[]; readonly leftOut?: readonly Database[] } = {},
  ): Promise<string> {
    this.#restores += 1;
    const directory = join(this.directory, 'restored', String(this.#restores));
    await this.#fillFetchDirectory();
    const access = this.repository.access({ kind: 'local', directory: this.repositoryDirectory });
    const restoring = restoreInThreads(access, 'main', 2);
    try {
      await executeRestore({
        cluster: this.clusterRepository,
        store: this.store,
        plan,
        directory,
        tablespaces: mapTablespaces(plan.backup, options.tablespaces ?? []),
        restoring,
        leftOut: options.leftOut ?? [],
        settings: { restoreCommand: `cp ${this.directory}/fetch/%f "%p"`, more: { archive_mode: 'off' } },
        script: { path: join(directory, 'pg_wal', 'pgrecall', 'restore-command'), text: '#!/bin/sh\n' },
        owner: () => serverOwner(),
        signal: AbortSignal.timeout(120_000),
        onProgress: () => undefined,
      });
    } finally {
      await restoring.close();
    }
    return directory;
  }

  /** Starts a restored directory; stopped at the end of the rig, at the latest. */
  async start(directory: string): Promise<TestCluster> {
    const started = await TestCluster.over(directory, this.cluster.major);
    this.#restored.push(started);
    return started;
  }

  async #fillFetchDirectory(): Promise<void> {
    const fetch = join(this.directory, 'fetch');
    const put = (name: string, bytes: Uint8Array | undefined): void => {
      if (!bytes) return;
      writeFileSync(join(fetch, name), bytes, { mode: 0o644 });
      giveToServer(join(fetch, name));
    };
    for await (const { name } of this.store.listSegments()) {
      if (!existsSync(join(fetch, name))) put(name, await this.store.getSegment(name));
    }
    for (const timeline of (await this.store.readHistories()).keys()) {
      const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
      put(name, await this.store.getHistory(name));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const started of this.#restored) await started[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * Runs one of PostgreSQL's programs that checks something; it throws where that is not right. Of the versions that are
 * tested, 15 and 18 are complete enough to have them; for the others nothing happens.
 */
export function checkWith(
  major: Major,
  program: string,
  arguments_: readonly string[],
  user: Partial<ServerUser> = {},
): void {
  if (major !== 15 && major !== 18) return;
  const directory = major === 15 ? '/usr/lib/postgresql/15/bin' : fullPostgres().binDirectory;
  execFileSync(join(directory, program), arguments_, { stdio: 'pipe', ...user });
}
