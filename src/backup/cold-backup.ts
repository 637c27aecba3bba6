import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { requireAtRest } from '../server/directory-use.ts';
import { checkIncarnation, refuseOtherPages } from './check-server.ts';
import { findBasis, readHistoryOf, type Basis } from './basis.ts';
import { readClusterNames } from './cold-names.ts';
import { ColdWal } from './cold-wal.ts';
import { judgeControlFile, refuseUnfinished, type ColdCopy } from './cold-plan.ts';
import { copyFiles, type CopiedFiles } from './copy-files.ts';
import type { CopyResult, Copying } from './copy-items.ts';
import { settlingMs, walkDataDirectory } from './data-directory-walk.ts';
import { makeRecord, type NeededRange } from './make-record.ts';
import { attachOutsideFiles, findOutsideFiles, type ConfigurationPlaces } from './outside-files.ts';
import { readOwnerNames } from './owner-names.ts';
import { readControlFile, type ReadControlFile } from './read-control-file.ts';
import { prepareBackup } from './reference.ts';
import { writeBackup } from './write-backup.ts';

/*
 * A cold backup: of a stopped cluster, by its files alone, after
 * https://www.postgresql.org/docs/18/backup-file.html. Nobody may write meanwhile; that is looked for before and after.
 *
 * It has no backup_label. A restored copy starts as the cluster itself would have started: from the checkpoint in its
 * pg_control, which was the last thing that its server did. With recovery.signal it goes on from there with archived
 * WAL. One whose server had crashed has to replay the WAL of its own pg_wal first, which is why that is kept with it.
 */

export interface ColdBackupOptions {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly store: WalStore;
  readonly dataDirectory: string;
  /** Where its configuration lies, as far as that is known without a server. */
  readonly places: ConfigurationPlaces;
  readonly copying: (startLsn: Lsn) => Copying;
  /** Full unless said. */
  readonly type?: BackupRecord['type'];
  /** A full one that names no content of earlier ones. */
  readonly independent?: boolean;
  readonly note: string;
  readonly keep: boolean;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

/** A cluster at rest, looked at and found fit. */
interface RestingCluster {
  readonly read: ReadControlFile;
  readonly copy: ColdCopy;
  /** What a start of a server changes. */
  readonly traces: string;
}

/**
 * Looks whether a cold backup can be taken of what lies there. Throws `server-running`, `cluster-mismatch`,
 * `data-directory`, `postgres-version`, `decode`.
 */
function lookAtResting(cluster: string, incarnation: Incarnation, dataDirectory: string): RestingCluster {
  requireAtRest(dataDirectory);
  const traces = tracesIn(dataDirectory);
  const read = readControlFile(dataDirectory);
  const { control } = read;
  checkIncarnation(cluster, incarnation, control, dataDirectory);
  refuseOtherPages(control);
  refuseUnfinished(readdirSync(dataDirectory), dataDirectory);
  return { read, copy: judgeControlFile(control, dataDirectory), traces };
}

/**
 * Throws `server-running`, `cluster-mismatch`, `data-directory`, `postgres-version`, `decode`, `server-changed` where a server was started meanwhile, `wal-gap`, and what the
 * storage throws; no backup is listed then, and what was written is removed.
 */
export async function takeColdBackup(options: ColdBackupOptions): Promise<BackupRecord> {
  const { cluster, incarnation, dataDirectory, signal } = options;
  const startedAt = options.now();
  const resting = lookAtResting(cluster.name, incarnation, dataDirectory);
  const { timeline, dataChecksums } = resting.read.control;
  const wal = new ColdWal(dataDirectory, resting.read.control, options.store);
  const range = await wal.findRange(resting.copy);
  // Before anything is copied: it may be missing, and it tells what has changed since the reference.
  await wal.store(range, signal);
  const { startLsn } = range;
  const { type: wanted = 'full', independent = false } = options;
  const history = await readHistoryOf(options.store, dataDirectory, timeline);
  await using prepared = await prepareBackup(
    cluster,
    { type: wanted, independent, incarnation: incarnation.number, history, startLsn, dataChecksums },
    startedAt,
    { ...options, purpose: 'backup' },
  );
  const { id, type } = prepared;
  const copying = options.copying(startLsn);
  try {
    // Nobody brings WAL any more.
    const { checkpointLsn, endLsn } = range;
    const basis = await findBasis({
      ...options,
      prepared,
      timeline,
      dataChecksums,
      startLsn,
      checkpointLsn,
      writtenLsn: async () => endLsn,
      walTimeoutMs: 0,
    });
    const begun = { id, type, basis, startedAt, resting, range, copying };
    const copyAll = async (manifest: ManifestWriter): Promise<BackupRecord> => copyCold(options, begun, manifest);
    return await writeBackup({ cluster, id, copying, signal, copyAll });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    await copying.close();
  }
}

interface Begun {
  readonly id: string;
  readonly type: BackupRecord['type'];
  readonly basis: Basis;
  readonly startedAt: Date;
  readonly resting: RestingCluster;
  readonly range: NeededRange;
  readonly copying: Copying;
}

async function copyCold(options: ColdBackupOptions, begun: Begun, manifest: ManifestWriter): Promise<BackupRecord> {
  const { dataDirectory, places } = options;
  const { resting, range } = begun;
  const { control, bytes } = resting.read;
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  if (resting.copy.kind === 'crashed' || control.state === 'in archive recovery') warn(crashWarning(control, range));
  const { copied, packs } = await copyContent(options, begun, { manifest, warn });
  const outside = findOutsideFiles(places, dataDirectory);
  await attachOutsideFiles(manifest, outside, warn);
  await manifest.attach('pg_control', bytes);
  const { databases, tablespaces } = readClusterNames(dataDirectory);
  // The last look: what was read until now has not been written to.
  refuseChanged(resting, dataDirectory);
  await manifest.finish();
  return makeRecord({
    ...begun,
    checkpointedAt: checkpointedAt(control, resting.copy),
    incarnation: options.incarnation,
    stoppedAt: options.now(),
    temperature: 'cold',
    built: begun.basis.built,
    facts: { tablespaces, ...(databases.length > 0 ? { databases } : {}) },
    control,
    wal: range,
    copied,
    note: options.note,
    keep: options.keep,
    outsideFiles: [...outside.carried.map(({ path }) => path), ...outside.elsewhere],
    warnings,
    packs: manifest.packs,
    storedBytes: packs.reduce((sum, pack) => sum + pack.sizeBytes, manifest.storedBytes),
  });
}

async function copyContent(
  options: ColdBackupOptions,
  { basis, copying, resting, startedAt }: Begun,
  into: { readonly manifest: ManifestWriter; readonly warn: (text: string) => void },
): Promise<{ readonly copied: CopiedFiles; readonly packs: CopyResult['packs'] }> {
  const { control } = resting.read;
  const copied = await copyFiles({
    entries: walkDataDirectory({
      directory: options.dataDirectory,
      tablespaceVersionDirectory: `PG_${control.postgresMajor}_${control.catalogVersion}`,
      keepUnlogged: resting.copy.kind === 'clean',
      warn: into.warn,
      settledBeforeMs: startedAt.getTime() - settlingMs,
    }),
    reference: basis.copy,
    copying,
    manifest: into.manifest,
    owners: readOwnerNames(),
    dataChecksums: control.dataChecksums,
    relationSegmentBlocks: control.relationSegmentBlocks,
    signal: options.signal,
    onProgress: options.onProgress,
  });
  return { copied, packs: (await copying.finish()).flatMap((result) => result.packs) };
}

function crashWarning({ state }: ControlFile, { startLsn, endLsn }: NeededRange): string {
  return `the server was not shut down (pg_control says "${state}"): this is the cluster as a crash leaves it, with the WAL from ${formatLsn(startLsn)} to ${formatLsn(endLsn)} that makes it consistent`;
}

/**
 * When the checkpoint was done that replay begins with: whatever is in the files and not in the WAL after it was
 * committed before. pg_control has the second in which it began; a checkpoint of a server that works goes on a little
 * before its place in WAL is fixed.
 */
function checkpointedAt({ checkpointTime }: ControlFile, { kind }: ColdCopy): Date {
  return new Date((Number(checkpointTime) + (kind === 'clean' ? 1 : 2)) * 1000);
}

/** Throws `server-running`, `server-changed`. */
function refuseChanged(resting: RestingCluster, dataDirectory: string): void {
  requireAtRest(dataDirectory);
  const now = readControlFile(dataDirectory).bytes;
  if (Buffer.compare(now, resting.read.bytes) === 0 && tracesIn(dataDirectory) === resting.traces) return;
  throw new PgrecallError(
    'server-changed',
    `a server was started on "${dataDirectory}" while it was being backed up: what was copied is of no moment`,
    { hint: 'find out what starts it (a service, a cluster manager), and begin the backup again' },
  );
}

/**
 * A server writes postmaster.opts when it starts and postmaster.pid for as long as it runs; both are other files then,
 * even where it ended before it touched anything else.
 */
function tracesIn(dataDirectory: string): string {
  return ['postmaster.opts', 'postmaster.pid', 'global/pg_control']
    .map((name) => {
      const stat = statSync(join(dataDirectory, name), { bigint: true, throwIfNoEntry: false });
      return stat ? `${stat.ino} ${stat.ctimeNs} ${stat.size}` : '-';
    })
    .join(', ');
}
