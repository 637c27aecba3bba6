import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseBackupLabel } from '../postgres/backup-label.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { findBasis, readHistoryOf, type Basis } from './basis.ts';
import type { BackupServer, ServerFacts, StoppedBackup } from './backup-server.ts';
import { checkSameCluster, checkSameTimeline, checkStartedHere, refuseUnfit } from './check-server.ts';
import { checkNeededWal } from './check-needed-wal.ts';
import type { WantedBackup } from './choose-reference-plan.ts';
import { copyFiles, type CopiedFiles } from './copy-files.ts';
import type { CopyResult, Copying } from './copy-items.ts';
import { settlingMs, walkDataDirectory } from './data-directory-walk.ts';
import { makeRecord, type NeededRange } from './make-record.ts';
import { NeededWal } from './needed-wal.ts';
import { attachOutsideFiles, findOutsideFiles } from './outside-files.ts';
import { readOwnerNames } from './owner-names.ts';
import { readControlFile } from './read-control-file.ts';
import { attachNames, type NamesBeside } from './relation-names.ts';
import { prepareBackup, withReference } from './reference.ts';
import { writeBackup } from './write-backup.ts';

/*
 * A hot backup, after
 * https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP:
 * start, copy everything while the server writes on, pg_control last, stop, wait until the WAL between start
 * and stop is in the repository, then write the manifest and, as the commit, the record.
 *
 * What it builds on is chosen and claimed before (reference.ts); how it tells what is unchanged since is found out when it
 * has begun (basis.ts).
 *
 * A crash before the record leaves packs that no record refers to; a sweep finds them. A failure removes them, since
 * the disk may be full of them. A server that restarts ends the session, and with it the backup; one that is promoted
 * refuses to end it.
 */

export interface HotBackupOptions {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly store: WalStore;
  readonly server: BackupServer;
  readonly dataDirectory: string;
  /** How files are copied from the WAL position where the backup starts. */
  readonly copying: (startLsn: Lsn) => Copying;
  /** Full unless said. */
  readonly type?: BackupRecord['type'];
  /** A full one that names no content of earlier ones. */
  readonly independent?: boolean;
  readonly note: string;
  readonly keep: boolean;
  readonly walTimeoutMs: number;
  /** Asks what the files of relations are called, beside the copying. */
  readonly gatherNames?: (signal: AbortSignal) => NamesBeside;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

/** A backup under way. */
interface Begun {
  readonly id: string;
  readonly type: BackupRecord['type'];
  readonly basis: Basis;
  readonly startedAt: Date;
  readonly startLsn: Lsn;
  readonly checkpointedAt: Date;
  readonly facts: ServerFacts;
  /** As it was when the backup had begun. */
  readonly control: ControlFile;
  readonly copying: Copying;
  /** Aborts when the command is interrupted or the server goes away. */
  readonly signal: AbortSignal;
}

/**
 * Throws `server-changed`, `server-rights`, `server-setting`, `cluster-mismatch`, `data-directory`,
 * `wal-not-archived`, `wal-other-content`, and what the storage throws; no backup is listed then, and what was written is removed.
 */
export async function takeHotBackup(options: HotBackupOptions): Promise<BackupRecord> {
  const { cluster, server, dataDirectory } = options;
  const startedAt = options.now();
  const facts = await server.facts();
  const before = readControlFile(dataDirectory).control;
  refuseUnfit(facts, before);
  checkSameCluster(cluster.name, options.incarnation, { facts, control: before, dataDirectory });
  const wanted = await wantedBackup(options, facts, before);
  await using prepared = await prepareBackup(cluster, wanted, startedAt, { ...options, purpose: 'backup' });
  const { id, type } = prepared;
  const signal = watchServer(server, options.signal);

  const startLsn = await server.start(`pgrecall ${id}`);
  const checkpointedAt = options.now();
  const { control } = readControlFile(dataDirectory);
  checkStartedHere(control, startLsn, dataDirectory);
  const copying = options.copying(startLsn);
  try {
    const { timeline, dataChecksums } = control;
    const basis = await findBasis({
      ...options,
      prepared,
      timeline,
      dataChecksums,
      startLsn,
      // Another one may have come meanwhile.
      checkpointLsn: control.redoLsn === startLsn ? control.checkpointLsn : undefined,
      writtenLsn: async () => server.writtenLsn(),
      signal,
    });
    const begun = { id, type, basis, startedAt, startLsn, checkpointedAt, facts, control, copying, signal };
    const copyAll = async (manifest: ManifestWriter): Promise<BackupRecord> => copyHot(options, begun, manifest);
    return await writeBackup({ cluster, id, copying, signal, copyAll });
  } catch (error) {
    throw signal.aborted ? signal.reason : withReference(error, prepared.reference?.record);
  } finally {
    await copying.close();
  }
}

async function wantedBackup(
  options: HotBackupOptions,
  facts: ServerFacts,
  control: ControlFile,
): Promise<WantedBackup> {
  const { type = 'full', independent = false, incarnation, store, dataDirectory, server } = options;
  return {
    type,
    independent,
    incarnation: incarnation.number,
    history: await readHistoryOf(store, dataDirectory, control.timeline),
    // A standby starts where its last restartpoint does.
    startLsn: facts.inRecovery ? control.redoLsn : await server.writtenLsn(),
    dataChecksums: control.dataChecksums,
  };
}

/** Aborts when the command is interrupted or the server goes away: a session lost is a backup lost. */
function watchServer(server: BackupServer, signal: AbortSignal): AbortSignal {
  const lost = new AbortController();
  server.onLost((error) => {
    lost.abort(
      new PgrecallError('server-changed', 'the server ended the session in which the backup was being taken', {
        hint: 'it was restarted or stopped; start the backup again when it is back. Nothing half-made is listed',
        cause: error,
      }),
    );
  });
  return AbortSignal.any([signal, lost.signal]);
}

/** Copies everything and stores the manifest; gives the record to be written. */
async function copyHot(options: HotBackupOptions, begun: Begun, manifest: ManifestWriter): Promise<BackupRecord> {
  const { server, dataDirectory } = options;
  const { facts } = begun;
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  const wal = neededWal(options, begun);
  await using names = options.gatherNames?.(begun.signal);
  const { copied, packs } = await copyWhileKeeping(options, begun, { manifest, warn, wal });

  // Last of all files: on a standby it says up to where WAL must be replayed before the copy is consistent.
  const last = readControlFile(dataDirectory);
  const stopped = await server.stop();
  const { startTimeline } = parseBackupLabel(stopped.label);
  checkSameTimeline(last.control, startTimeline);
  checkSameTimeline(readControlFile(dataDirectory).control, startTimeline);

  await manifest.attach('backup_label', Buffer.from(stopped.label));
  await manifest.attach('tablespace_map', Buffer.from(stopped.tablespaceMap));
  await manifest.attach('pg_control', last.bytes);
  const outside = findOutsideFiles(facts, dataDirectory);
  await attachOutsideFiles(manifest, outside, warn);
  await wal.ensure(stopped.stopLsn);
  const doubt = await checkNeededWal(options.store, neededRange(stopped), begun.signal);
  if (doubt !== undefined) warn(doubt);
  if (names) await attachNames(manifest, names, warn);
  await manifest.finish();
  return makeRecord({
    ...begun,
    control: last.control,
    incarnation: options.incarnation,
    stoppedAt: options.now(),
    temperature: 'hot',
    built: begun.basis.built,
    wal: neededRange(stopped),
    copied,
    note: options.note,
    keep: options.keep,
    outsideFiles: [...outside.carried.map(({ path }) => path), ...outside.elsewhere],
    warnings,
    packs: manifest.packs,
    storedBytes: packs.reduce((sum, pack) => sum + pack.sizeBytes, manifest.storedBytes),
  });
}

function neededRange({ label, stopLsn }: StoppedBackup): NeededRange {
  const { startTimeline, startLsn, checkpointLsn, from } = parseBackupLabel(label);
  return { timeline: startTimeline, startLsn, endLsn: stopLsn, checkpointLsn, fromStandby: from === 'standby' };
}

function neededWal(options: HotBackupOptions, { facts, control, startLsn, signal }: Begun): NeededWal {
  const { store, dataDirectory, server, now, say } = options;
  return new NeededWal({
    store,
    dataDirectory,
    timeline: control.timeline,
    startLsn,
    segmentBytes: control.segmentBytes,
    writtenLsn: async () => server.writtenLsn(),
    fromStandby: facts.inRecovery,
    timeoutMs: options.walTimeoutMs,
    now,
    signal,
    say,
  });
}

async function copyWhileKeeping(
  options: HotBackupOptions,
  begun: Begun,
  into: { readonly manifest: ManifestWriter; readonly warn: (text: string) => void; readonly wal: NeededWal },
): Promise<{ readonly copied: CopiedFiles; readonly packs: CopyResult['packs'] }> {
  const { facts, control, copying, signal } = begun;
  const { manifest, warn } = into;
  await using stack = new AsyncDisposableStack();
  if (facts.archiveMode === 'off') {
    stack.use(into.wal.keepWhileCopying());
    warn(
      'archive_mode is off: without pgrecall wal receive nothing later than the end of this backup can be recovered',
    );
  }
  const copied = await copyFiles({
    entries: walkDataDirectory({
      directory: options.dataDirectory,
      tablespaceVersionDirectory: `PG_${control.postgresMajor}_${control.catalogVersion}`,
      warn,
      settledBeforeMs: begun.startedAt.getTime() - settlingMs,
    }),
    reference: begun.basis.copy,
    copying,
    manifest,
    owners: readOwnerNames(),
    dataChecksums: control.dataChecksums,
    relationSegmentBlocks: control.relationSegmentBlocks,
    signal,
    onProgress: options.onProgress,
  });
  return { copied, packs: (await copying.finish()).flatMap((result) => result.packs) };
}
