import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WalStore } from '../archive/wal-store.ts';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { parseBackupLabel } from '../postgres/backup-label.ts';
import { decodeControlFile, type ControlFile } from '../postgres/control-file.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentBefore } from '../postgres/segment-name.ts';
import { pgrecallVersion } from '../version.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { newBackupId } from './backup-id.ts';
import {
  readServerFacts,
  startBackup,
  stopBackup,
  writtenLsn,
  type ServerFacts,
  type StoppedBackup,
} from './backup-server.ts';
import { copyFiles, type CopiedFiles } from './copy-files.ts';
import type { Copying } from './copy-items.ts';
import { walkDataDirectory } from './data-directory-walk.ts';
import { ensureWal } from './needed-wal.ts';
import { readOwnerNames } from './owner-names.ts';

/*
 * A hot full backup, after
 * https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP:
 * start, copy everything while the server writes on, pg_control last, stop, wait until the WAL between start
 * and stop is in the repository, then write the manifest and, as the commit, the record.
 *
 * A crash before the record leaves packs that no record refers to; a sweep finds them. A server that
 * restarts or is promoted meanwhile ends the session, and with it the backup.
 */

export interface HotBackupOptions {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly store: WalStore;
  readonly session: SqlSession;
  readonly dataDirectory: string;
  /** How files are copied from the WAL position where the backup starts. */
  readonly copying: (startLsn: Lsn) => Copying;
  readonly note: string;
  readonly keep: boolean;
  readonly walTimeoutMs: number;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

export async function takeHotBackup(options: HotBackupOptions): Promise<BackupRecord> {
  const { cluster, session } = options;
  const startedAt = options.now();
  const facts = await readServerFacts(session);
  refuseUnfit(facts);
  const control = readControlFile(options.dataDirectory);
  checkIncarnation(options, control, facts);
  const taken = new Set([
    ...(await cluster.listBackups()).map((record) => record.id),
    ...(await cluster.listUnfinished()),
  ]);
  const id = newBackupId(startedAt, 'full', taken);
  const warnings: string[] = [];
  const lost = watchSession(session, options.signal);

  const startLsn = await startBackup(session, `pgrecall ${id}`);
  const copying = options.copying(startLsn);
  const manifest = await cluster.createManifest(id);
  let complete = false;
  try {
    const copied = await copyFiles({
      entries: walkDataDirectory({
        directory: options.dataDirectory,
        tablespaceVersionDirectory: `PG_${control.postgresMajor}_${control.catalogVersion}`,
        warn: (text) => warnings.push(text),
      }),
      copying,
      manifest,
      owners: readOwnerNames(),
      dataChecksums: control.dataChecksums,
      relationSegmentBlocks: control.relationSegmentBlocks,
      signal: lost,
      onProgress: options.onProgress,
    });
    const finished = (await copying.finish()).flatMap((result) => result.packs);
    const controlBytes = readFileSync(join(options.dataDirectory, 'global', 'pg_control'));
    const stopped = await stopBackup(session);
    const label = parseBackupLabel(stopped.label);
    await attachDocuments(manifest, { stopped, controlBytes, facts, dataDirectory: options.dataDirectory, warnings });
    await ensureWal({
      store: options.store,
      dataDirectory: options.dataDirectory,
      timeline: label.startTimeline,
      startLsn: label.startLsn,
      stopLsn: stopped.stopLsn,
      segmentBytes: control.segmentBytes,
      writtenLsn: async () => writtenLsn(session),
      fromStandby: label.from === 'standby',
      timeoutMs: options.walTimeoutMs,
      now: options.now,
      signal: lost,
      say: options.say,
    });
    await manifest.finish();
    const record = makeRecord(
      options,
      { id, startedAt, facts, control, stopped, copied, warnings },
      {
        packs: finished.map((pack) => pack.id),
        storedBytes: finished.reduce((sum, pack) => sum + pack.sizeBytes, manifest.storedBytes),
      },
    );
    await cluster.writeRecord(id, record);
    complete = true;
    return record;
  } catch (error) {
    throw translate(error, lost);
  } finally {
    await copying.close();
    if (!complete) await manifest.abort();
  }
}

function refuseUnfit(facts: ServerFacts): void {
  if (facts.walLevel === 'minimal') {
    throw new PgrecallError('server-setting', 'wal_level is minimal, with which a hot backup cannot be recovered', {
      hint: 'set wal_level = replica and restart the server; pgrecall init --apply sets it',
    });
  }
}

/** Reads pg_control. Throws `data-directory` where it cannot, `decode` where it is damaged. */
export function readControlFile(dataDirectory: string): ControlFile {
  const path = join(dataDirectory, 'global', 'pg_control');
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const hint = isErrno(error, 'EACCES')
      ? 'run pgrecall as the user that owns the data directory, or as root'
      : 'set data_directory to the cluster’s data directory on this machine';
    throw new PgrecallError('data-directory', `cannot read "${path}"`, { hint, cause: error });
  }
  return decodeControlFile(bytes);
}

function checkIncarnation(options: HotBackupOptions, control: ControlFile, facts: ServerFacts): void {
  const { incarnation, dataDirectory, cluster } = options;
  if (control.systemIdentifier !== incarnation.systemIdentifier) {
    throw new PgrecallError(
      'cluster-mismatch',
      `"${dataDirectory}" has the system identifier ${control.systemIdentifier}, but "${cluster.name}" in the repository is ${incarnation.systemIdentifier}`,
      { details: { found: control.systemIdentifier, expected: incarnation.systemIdentifier } },
    );
  }
  if (control.postgresMajor !== facts.major) {
    throw new PgrecallError(
      'data-directory',
      `"${dataDirectory}" is of PostgreSQL ${control.postgresMajor}, the server that answers is ${facts.major}`,
      { hint: 'connection and data_directory of the configuration belong to different clusters' },
    );
  }
}

/** Aborts when the command is interrupted or the server goes away: a session lost is a backup lost. */
function watchSession(session: SqlSession, signal: AbortSignal): AbortSignal {
  const lost = new AbortController();
  session.onLost((error) => {
    lost.abort(
      new PgrecallError('server-changed', 'the server ended the session in which the backup was being taken', {
        hint: 'it was restarted, promoted or stopped; start the backup again when it is back. Nothing half-made is listed',
        cause: error,
      }),
    );
  });
  return AbortSignal.any([signal, lost.signal]);
}

/** What fails because the session is gone is reported as that. */
function translate(error: unknown, lost: AbortSignal): unknown {
  if (lost.aborted && lost.reason instanceof PgrecallError) return lost.reason;
  const message = error instanceof Error ? error.message : '';
  if (/promoted during online backup|recovery is in progress|full_page_writes/.test(message)) {
    return new PgrecallError('server-changed', `the server refused to end the backup: ${message}`, { cause: error });
  }
  return error;
}

async function attachDocuments(
  manifest: ManifestWriter,
  documents: {
    readonly stopped: StoppedBackup;
    readonly controlBytes: Uint8Array;
    readonly facts: ServerFacts;
    readonly dataDirectory: string;
    readonly warnings: string[];
  },
): Promise<void> {
  await manifest.attach('backup_label', Buffer.from(documents.stopped.label));
  await manifest.attach('tablespace_map', Buffer.from(documents.stopped.tablespaceMap));
  await manifest.attach('pg_control', documents.controlBytes);
  for (const [name, path] of outsideFiles(documents.facts, documents.dataDirectory)) {
    try {
      await manifest.attach(`outside/${name}`, readFileSync(path));
    } catch (error) {
      documents.warnings.push(`"${path}" could not be read: ${(error as Error).message}`);
    }
  }
}

/** Configuration files that lie outside the data directory, by the name they have inside one. */
function outsideFiles(facts: ServerFacts, dataDirectory: string): [string, string][] {
  const roots = [dataDirectory, facts.dataDirectory ?? dataDirectory].map((root) => `${root.replace(/\/+$/, '')}/`);
  return Object.entries(facts.configurationFiles).filter(([, path]) => !roots.some((root) => path.startsWith(root)));
}

function makeRecord(
  options: HotBackupOptions,
  made: {
    readonly id: string;
    readonly startedAt: Date;
    readonly facts: ServerFacts;
    readonly control: ControlFile;
    readonly stopped: StoppedBackup;
    readonly copied: CopiedFiles;
    readonly warnings: readonly string[];
  },
  stored: { readonly packs: readonly string[]; readonly storedBytes: number },
): BackupRecord {
  const { control, stopped, copied, facts } = made;
  const label = parseBackupLabel(stopped.label);
  return {
    id: made.id,
    format: 1,
    kind: 'physical',
    temperature: 'hot',
    type: 'full',
    incarnation: options.incarnation.number,
    postgresMajor: control.postgresMajor,
    systemIdentifier: control.systemIdentifier,
    startedAt: made.startedAt.toISOString(),
    stoppedAt: options.now().toISOString(),
    timeline: label.startTimeline,
    startLsn: formatLsn(label.startLsn),
    endLsn: formatLsn(stopped.stopLsn),
    checkpointLsn: formatLsn(label.checkpointLsn),
    startSegment: label.startSegment,
    stopSegment: formatSegmentName(
      { timeline: label.startTimeline, number: segmentBefore(stopped.stopLsn, control.segmentBytes) },
      control.segmentBytes,
    ),
    fromStandby: label.from === 'standby',
    sizeBytes: copied.sizeBytes,
    storedBytes: stored.storedBytes,
    files: copied.files,
    keep: options.keep,
    note: options.note,
    tablespaces: facts.tablespaces.map(({ oid, name, path }) => ({ oid, name, path })),
    dataChecksums: control.dataChecksums,
    badPages: copied.badPages.map(({ path, blocks }) => ({ path, blocks: [...blocks] })),
    pgrecallVersion,
    packs: [...stored.packs],
    outsideFiles: outsideFiles(facts, options.dataDirectory).map(([, path]) => path),
    warnings: [...made.warnings],
  };
}
