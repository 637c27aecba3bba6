import type { WalSink } from '../archive/receive-sink.ts';
import { storeHistory } from '../archive/receive-server.ts';
import type { BaseBackupStream } from '../connection/base-backup-stream.ts';
import type { ReplicationSession, ReplicationSessionOptions } from '../connection/replication-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseBackupLabel } from '../postgres/backup-label.ts';
import { decodeControlFile } from '../postgres/control-file.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { parseHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import type { ServerFacts } from './backup-server.ts';
import type { CopiedFiles } from './copy-files.ts';
import type { Copying } from './copy-items.ts';
import { EntryShelf } from './entry-shelf.ts';
import { makeRecord, type BuiltOn, type NeededRange } from './make-record.ts';
import { attachOutsideFiles, findOutsideFiles, type OutsideFiles } from './outside-files.ts';
import { ReceivedFiles } from './received-files.ts';
import { prepareBackup, type Prepared } from './reference.ts';
import { ReferenceIndex } from './reference-index.ts';
import { attachNames, type NamesBeside } from './relation-names.ts';
import { StreamArchives } from './stream-archives.ts';
import { StreamCheck } from './stream-check.ts';
import { askForBackup } from './stream-request.ts';
import {
  checkStreamFacts,
  explainStreamFailure,
  firstIncrementalMajor,
  readStreamFacts,
  requireSummaries,
  type StreamFacts,
} from './stream-server.ts';
import { StreamWal } from './stream-wal.ts';
import { writeBackup } from './write-backup.ts';

/*
 * A hot backup over the replication protocol, without access to the server's files: BASE_BACKUP sends them as archives, another
 * connection the WAL that they need. What comes of it is a backup as any other.
 *
 * The server decides the order of files, and it is no useful one: entries wait as bytes until all have come (entry-shelf.ts). Files
 * have no identity, so that a later increment that goes by them compares contents instead.
 */

export interface StreamBackupOptions {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly session: ReplicationSession;
  /** How to connect once more, for WAL. */
  readonly walSession: ReplicationSessionOptions;
  readonly sink: WalSink;
  /** Of this host, for WAL on its way into the repository. */
  readonly directory: string;
  /** What SQL tells of the server, where this role may connect to a database. */
  readonly facts: ServerFacts | undefined;
  /** Reads a file of the server's host, where this role may. */
  readonly readFile: (path: string) => Promise<Uint8Array>;
  readonly copying: (startLsn: Lsn) => Copying;
  readonly type: BackupRecord['type'];
  readonly independent: boolean;
  readonly note: string;
  readonly keep: boolean;
  readonly walTimeoutMs: number;
  readonly gatherNames?: (signal: AbortSignal) => NamesBeside;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly signal: AbortSignal;
  readonly onTotal: (bytes: number) => void;
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

/** A backup under way. */
interface Begun {
  readonly prepared: Prepared;
  readonly built: BuiltOn;
  readonly facts: StreamFacts;
  readonly stream: BaseBackupStream;
  readonly wal: StreamWal;
  readonly startedAt: Date;
  readonly checkpointedAt: Date;
  readonly copying: Copying;
  readonly signal: AbortSignal;
}

/**
 * Throws `server-changed`, `server-rights`, `server-setting`, `server-refused`, `cluster-mismatch`, `wal-not-archived`,
 * `backup-failed`, and what the storage throws; no backup is listed then, and what was written is removed.
 */
export async function takeStreamBackup(options: StreamBackupOptions): Promise<BackupRecord> {
  const { cluster, session, incarnation } = options;
  const startedAt = options.now();
  const facts = await readStreamFacts(session);
  checkStreamFacts(cluster.name, incarnation, facts);
  const history = await readHistory(options, facts.timeline);
  await using prepared = await prepare(options, facts, history, startedAt);
  await using wal = await StreamWal.open({
    ...options,
    session: options.walSession,
    segmentBytes: incarnation.segmentBytes,
    id: prepared.id,
    timeoutMs: options.walTimeoutMs,
  });
  const signal = AbortSignal.any([options.signal, wal.failed]);
  let copying: Copying | undefined;
  try {
    const { stream, built } = await askForBackup({ ...options, prepared, facts, history });
    const { lsn: startLsn, timeline } = stream.start;
    const checkpointedAt = options.now();
    wal.begin(timeline, startLsn);
    copying = options.copying(startLsn);
    const begun = { prepared, built, facts, stream, wal, startedAt, checkpointedAt, copying, signal };
    const copyAll = async (manifest: ManifestWriter): Promise<BackupRecord> => copyStream(options, begun, manifest);
    return await writeBackup({ cluster, id: prepared.id, copying, signal, copyAll });
  } catch (error) {
    throw explainStreamFailure(signal.aborted ? signal.reason : error);
  } finally {
    await copying?.close();
  }
}

async function readHistory({ session, sink }: StreamBackupOptions, of: Timeline): Promise<TimelineHistory> {
  if (of === 1) return { timeline: of, parents: [] };
  const content = await storeHistory(session, of, sink);
  return parseHistory(Buffer.from(content).toString('utf8'), of);
}

/** Chooses what to build on. A server that cannot send increments is asked for everything. */
async function prepare(
  options: StreamBackupOptions,
  facts: StreamFacts,
  history: TimelineHistory,
  startedAt: Date,
): Promise<Prepared> {
  const { cluster, type, independent, incarnation } = options;
  if (type !== 'full') requireSummaries(facts);
  const canSend = type === 'full' || facts.major >= firstIncrementalMajor;
  const wanted = {
    type: canSend ? type : ('full' as const),
    independent,
    incarnation: incarnation.number,
    history,
    startLsn: facts.positionLsn,
    dataChecksums: facts.dataChecksums,
  };
  const prepared = await prepareBackup(cluster, wanted, startedAt, { ...options, purpose: 'backup' });
  if (canSend) return prepared;
  const instead = `PostgreSQL ${facts.major} sends whole files only; ${firstIncrementalMajor} and later send what changed`;
  return { ...prepared, instead, [Symbol.asyncDispose]: async () => prepared[Symbol.asyncDispose]() };
}

/** Takes everything that is sent and stores the manifest; gives the record to be written. */
async function copyStream(options: StreamBackupOptions, begun: Begun, manifest: ManifestWriter): Promise<BackupRecord> {
  const { facts, stream, wal, signal } = begun;
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  if (facts.archiveMode === 'off') {
    warn(
      'archive_mode is off: without pgrecall wal receive nothing later than the end of this backup can be recovered',
    );
  }
  await using names = options.gatherNames?.(signal);
  const { copied, archives } = await receive(options, begun, manifest);
  const { end, wrongChecksums } = stream.ended;
  if (wrongChecksums && copied.badPages.length === 0) {
    warn('the server found pages with wrong checksums, and says in its log which; as they came they were right');
  }
  const documents = documentsOf(archives);
  const needed = neededRange(documents.label, end);
  await manifest.attach('backup_label', Buffer.from(documents.label));
  await manifest.attach('tablespace_map', documents.tablespaceMap);
  await manifest.attach('pg_control', documents.control);
  const outside = await attachOutside(options, manifest, warn);
  options.say('waiting for the WAL that the backup needs');
  await wal.ensure(needed.endLsn, needed.fromStandby);
  if (names) await attachNames(manifest, names, warn);
  const packs = (await begun.copying.finish()).flatMap((result) => result.packs);
  await manifest.finish();
  return makeRecord({
    id: begun.prepared.id,
    type: begun.prepared.type,
    incarnation: options.incarnation,
    startedAt: begun.startedAt,
    stoppedAt: options.now(),
    checkpointedAt: begun.checkpointedAt,
    temperature: 'hot',
    built: begun.built,
    facts: options.facts ?? { tablespaces: [], databases: [] },
    control: decodeControlFile(documents.control),
    wal: needed,
    copied,
    note: options.note,
    keep: options.keep,
    outsideFiles: [...outside.carried.map(({ path }) => path), ...outside.elsewhere],
    warnings,
    packs: manifest.packs,
    storedBytes: packs.reduce((sum, pack) => sum + pack.sizeBytes, manifest.storedBytes),
  });
}

async function receive(
  options: StreamBackupOptions,
  { prepared, built, facts, stream, copying, signal, startedAt }: Begun,
  manifest: ManifestWriter,
): Promise<{ readonly copied: CopiedFiles; readonly archives: StreamArchives }> {
  const { reference } = prepared;
  const incremental = built.evidence === 'server';
  const shelf = new EntryShelf();
  const files = new ReceivedFiles({
    ...facts,
    copying,
    shelf,
    reference: reference && (await ReferenceIndex.open(reference.manifest)),
    badPages: new Map(reference?.record.badPages.map(({ path, blocks }) => [path, blocks])),
    onProgress: options.onProgress,
  });
  const archives = new StreamArchives({ ...facts, files, shelf, incremental, startedAt });
  const check = new StreamCheck(shelf, archives, incremental);
  options.onTotal(stream.tablespaces.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0));
  try {
    let copied: CopiedFiles | undefined;
    for await (const part of stream.parts(signal)) {
      if (part.kind === 'archive') archives.begin(part.tablespaceOid);
      else if (part.kind === 'manifest') copied = await files.finish(archives.finish().tablespaceLinks);
      else if (copied) check.push(part.bytes);
      else await archives.data(part.bytes);
    }
    if (!copied) throw new PgrecallError('decode', 'the server sent a base backup without its manifest');
    check.finish(copied.files);
    for (const entry of shelf.entries()) await manifest.add(entry);
    return { copied, archives };
  } catch (error) {
    // What goes on in the threads must have ended before its packs are thrown away.
    await files.stop();
    throw error;
  }
}

interface Documents {
  readonly label: string;
  readonly tablespaceMap: Uint8Array;
  readonly control: Uint8Array;
}

function documentsOf(archives: StreamArchives): Documents {
  const [label, control] = [archives.document('backup_label'), archives.document('global/pg_control')];
  if (!label || !control)
    throw new PgrecallError('decode', 'the server sent a base backup without backup_label or pg_control');
  return {
    // With these lines PostgreSQL would not start: it takes what is restored for an increment.
    label: Buffer.from(label)
      .toString('utf8')
      .replaceAll(/^INCREMENTAL FROM (?:LSN|TLI): .*\n/gm, ''),
    tablespaceMap: archives.document('tablespace_map') ?? new Uint8Array(0),
    control,
  };
}

function neededRange(label: string, end: { readonly lsn: Lsn; readonly timeline: Timeline }): NeededRange {
  const { startTimeline, startLsn, checkpointLsn, from } = parseBackupLabel(label);
  if (end.timeline !== startTimeline) {
    throw new PgrecallError(
      'server-changed',
      `the backup began on timeline ${startTimeline} and ended on timeline ${end.timeline}`,
    );
  }
  return { timeline: startTimeline, startLsn, endLsn: end.lsn, checkpointLsn, fromStandby: from === 'standby' };
}

async function attachOutside(
  { facts, readFile }: StreamBackupOptions,
  manifest: ManifestWriter,
  warn: (text: string) => void,
): Promise<OutsideFiles> {
  if (facts?.dataDirectory === undefined) {
    warn(
      'this role may not see where the server’s configuration lies: if outside the data directory, it is not in the backup',
    );
    return { carried: [], elsewhere: [] };
  }
  const outside = findOutsideFiles(facts, facts.dataDirectory);
  await attachOutsideFiles(manifest, outside, warn, readFile);
  return outside;
}
