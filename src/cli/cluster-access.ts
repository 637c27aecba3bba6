import type { ArchiveWorkerData } from '../archive/archive-threads.ts';
import { WalStore } from '../archive/wal-store.ts';
import type { ClusterConfig } from '../config/config.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Repository, RepositoryAccess } from '../repository/repository.ts';
import type { CliContext } from './context.ts';
import { actingAs, ownerOf } from './privileges.ts';

/** A cluster of the configuration with its place in the repository. */
export interface ClusterAccess {
  readonly config: ClusterConfig;
  readonly repository: Repository;
  readonly cluster: ClusterRepository;
  /** The latest: where WAL and backups go now. */
  readonly incarnation: Incarnation;
  /** All, oldest first. */
  readonly incarnations: readonly Incarnation[];
  /** Of the latest. */
  readonly store: WalStore;
}

/** Throws `cluster-unknown` where the repository has no such cluster. */
export async function openCluster(context: CliContext, name?: string): Promise<ClusterAccess> {
  const config = await context.cluster(name);
  const repository = await context.openRepository(config);
  const cluster = repository.cluster(config.name);
  const incarnations = (await cluster.readCluster())?.incarnations ?? [];
  const incarnation = incarnations.at(-1);
  if (!incarnation) {
    throw new PgrecallError('cluster-unknown', `the repository has no cluster "${config.name}" yet`, {
      hint: `run pgrecall init ${config.name}`,
    });
  }
  return { config, repository, cluster, incarnation, incarnations, store: new WalStore(cluster, incarnation) };
}

/** What a thread needs to open the repository for itself. */
export function repositoryForThreads({ repository, config }: ClusterAccess): RepositoryAccess {
  return repository.access({ kind: 'local', directory: config.repositoryDirectory });
}

/** What a thread needs to work in the archive. */
export function archiveForThreads(access: ClusterAccess): ArchiveWorkerData {
  return { access: repositoryForThreads(access), cluster: access.config.name, incarnation: access.incarnation };
}

/**
 * As root, does something with a cluster as the owner of its repository, and is root again: for what has to be known
 * before there is something to do that only root can. For others, and where that owner is root, the same as
 * `openCluster`.
 */
export async function asRepositoryOwner<T>(
  context: CliContext,
  name: string | undefined,
  action: (access: ClusterAccess) => Promise<T>,
): Promise<T> {
  const config = await context.cluster(name);
  // It may be readable to root alone.
  const passphrase = await config.passphrase();
  const openRepository: CliContext['openRepository'] = async (cluster) =>
    context.openRepository({ ...cluster, passphrase: async () => passphrase });
  return actingAs(ownerOf(config.repositoryDirectory), async () =>
    action(await openCluster({ ...context, openRepository }, name)),
  );
}

/** Finds a backup by identifier, unambiguous beginning or `latest`. Throws `backup-unknown`, `backup-ambiguous`. */
export function findBackup(backups: readonly BackupRecord[], wanted: string): BackupRecord {
  const latest = backups.at(-1);
  if (wanted === 'latest' && latest) return latest;
  const exact = backups.find((backup) => backup.id === wanted);
  if (exact) return exact;
  const found = wanted === '' ? [] : backups.filter((backup) => backup.id.startsWith(wanted));
  const [only, second] = found;
  if (second) {
    throw new PgrecallError('backup-ambiguous', `"${wanted}" is the beginning of ${found.length} backups`, {
      details: { candidates: found.map((backup) => backup.id) },
      hint: `give more characters: ${found
        .slice(0, 5)
        .map((backup) => backup.id)
        .join(', ')}`,
    });
  }
  if (only) return only;
  throw new PgrecallError('backup-unknown', `there is no backup "${wanted}"`, {
    details: { known: backups.map((backup) => backup.id).slice(-20) },
  });
}
