import { chownSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { ClusterConfig } from '../config/config.ts';
import { PgrecallError, hasCode, isErrno } from '../errors/pgrecall-error.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import { createRepository, openRepository, type Repository } from '../repository/repository.ts';
import { openStorage } from '../storage/open-storage.ts';
import type { CliContext } from './context.ts';
import { canActAs, giveDirectoryTo, ownerOf, type Owner } from './privileges.ts';
import type { ServerIdentity } from './server-identity.ts';

/** What became of the repository and of the cluster's place in it; with `--plan`, what would. */
export interface Registration {
  readonly repository: 'made' | 'there';
  readonly encrypted: boolean;
  readonly cluster: 'registered' | 'new-incarnation' | 'known';
  readonly incarnation: Incarnation;
}

export interface RegisterOptions {
  readonly config: ClusterConfig;
  /** Read by whoever may; it need not be the one who writes to the repository. */
  readonly passphrase: string | undefined;
  readonly server: ServerIdentity;
  readonly newIncarnation: boolean;
  /** Whether a repository was here once: one that is gone is then missed, not made anew. */
  readonly expected: boolean;
  readonly plan: boolean;
}

/** Throws `cluster-mismatch` where the name belongs to another cluster, and what opening a repository throws. */
export async function registerCluster(options: RegisterOptions, context: CliContext): Promise<Registration> {
  const { config, passphrase, plan } = options;
  const storage = openStorage({ kind: 'local', directory: config.repositoryDirectory });
  let repository: Repository | undefined;
  let made = false;
  try {
    repository = await openRepository(storage, passphrase === undefined ? {} : { passphrase });
  } catch (error) {
    if (!hasCode(error, 'repository-missing')) throw error;
    if (options.expected) throw gone(config, error);
    made = true;
    refuseUsedDirectory(config.repositoryDirectory);
    if (!plan) {
      repository = await createRepository(storage, {
        ...(passphrase === undefined ? {} : { passphrase }),
        randomBytes: context.randomBytes,
        now: context.now,
      });
    }
  }
  const place = repository?.cluster(config.name);
  const known = (await place?.readCluster())?.incarnations ?? [];
  const decided = decide(known, options, context.now());
  if (place && decided.cluster !== 'known' && !plan) await write(place, known, decided.incarnation, context);
  return { repository: made ? 'made' : 'there', encrypted: passphrase !== undefined, ...decided };
}

/** Made anew, it would be hidden when the disk is mounted again, with everything archived until then. */
function gone({ name, repositoryDirectory }: ClusterConfig, cause: unknown): PgrecallError {
  return new PgrecallError('repository-missing', `the repository of "${name}" is gone from "${repositoryDirectory}"`, {
    hint: `is its disk mounted? To begin a new one there on purpose: pgrecall init ${name} --repository ${repositoryDirectory}`,
    cause,
  });
}

function decide(
  known: readonly Incarnation[],
  options: RegisterOptions,
  now: Date,
): Pick<Registration, 'cluster' | 'incarnation'> {
  const { server, config } = options;
  const last = known.at(-1);
  if (last && isSame(last, server)) return { cluster: 'known', incarnation: last };
  const { systemIdentifier, postgresMajor, segmentBytes } = server;
  const incarnation: Incarnation = {
    number: (last?.number ?? 0) + 1,
    systemIdentifier,
    postgresMajor,
    segmentBytes,
    since: now.toISOString(),
  };
  if (!last) return { cluster: 'registered', incarnation };
  if (options.newIncarnation) return { cluster: 'new-incarnation', incarnation };
  const earlier = known.find((candidate) => isSame(candidate, server));
  throw new PgrecallError(
    'cluster-mismatch',
    `"${config.name}" in the repository is ${describe(last)}; the server is ${describe(server)}${earlier ? `, its incarnation ${earlier.number} of before` : ''}`,
    {
      hint: `another cluster needs another name; after pg_upgrade or initdb of this one: pgrecall init ${config.name} --new-incarnation`,
      details: { found: { systemIdentifier, postgresMajor, segmentBytes }, expected: { ...last } },
    },
  );
}

function isSame(a: Omit<Incarnation, 'number' | 'since'>, b: Omit<Incarnation, 'number' | 'since'>): boolean {
  return (
    a.systemIdentifier === b.systemIdentifier &&
    a.postgresMajor === b.postgresMajor &&
    a.segmentBytes === b.segmentBytes
  );
}

function describe(one: Pick<Incarnation, 'systemIdentifier' | 'postgresMajor' | 'segmentBytes'>): string {
  const size = one.segmentBytes === 16_777_216 ? '' : `, WAL segments of ${one.segmentBytes / 1_048_576} MB`;
  return `the cluster ${one.systemIdentifier} (PostgreSQL ${one.postgresMajor}${size})`;
}

async function write(
  place: ClusterRepository,
  known: readonly Incarnation[],
  incarnation: Incarnation,
  context: CliContext,
): Promise<void> {
  await using lock = await place.lock('init', {
    purpose: 'init',
    now: context.now,
    randomBytes: context.randomBytes,
  });
  void lock;
  const now = (await place.readCluster())?.incarnations ?? [];
  if (now.length !== known.length) {
    throw new PgrecallError('locked', `"${place.name}" was registered by another pgrecall init just now`, {
      hint: 'run init again',
    });
  }
  await place.writeCluster({ name: place.name, incarnations: [...known, incarnation] });
}

/**
 * As root, makes the repository's directory for the server's user, or gives it an empty one of root's. Returns who
 * writes there: the owner of a repository that is there stays.
 */
export function prepareRepository(directory: string, owner: Owner): Owner {
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (!stat) {
    giveDirectoryTo(directory, owner);
    return ownerOf(directory);
  }
  if (stat.uid === 0 && canActAs(owner) && stat.isDirectory() && foreignNames(directory).length === 0) {
    const isEmpty = readdirSync(directory).every((name) => name === 'lost+found');
    if (isEmpty) chownSync(directory, owner.uid, owner.gid);
  }
  return ownerOf(directory);
}

/** Throws `usage` where one lies in the other: the backup would hold itself. */
export function refuseNesting(repository: string, dataDirectory: string): void {
  const [a, b] = [realOrSame(repository), realOrSame(dataDirectory)];
  const inside = (path: string, of: string): boolean => !relative(of, path).startsWith('..');
  if (!inside(a, b) && !inside(b, a)) return;
  throw new PgrecallError(
    'usage',
    `the repository "${repository}" and the data directory "${dataDirectory}" lie in each other`,
    {
      hint: 'put the repository elsewhere, best on another disk',
    },
  );
}

function realOrSame(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** What an empty file system has, and a repository that is just being made. */
const harmless = /^(?:lost\+found|locks|.*~.*)$/;

function foreignNames(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => !harmless.test(name));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function refuseUsedDirectory(directory: string): void {
  const names = foreignNames(directory);
  if (names.length === 0) return;
  if (names.includes('clusters')) {
    throw new PgrecallError('repository-missing', `"${directory}" holds clusters, but its repository.json is gone`, {
      hint: `bring ${join(directory, 'repository.json')} back from a copy; a new one could not open what is there`,
    });
  }
  throw new PgrecallError('target-not-empty', `the directory "${directory}" is not empty, and is no repository`, {
    hint: 'name a directory that is empty or does not exist',
    details: { path: directory, found: names.slice(0, 10) },
  });
}
