import { chooseId, writeBackup } from '../backup/write-backup.ts';
import { connectionOptions } from '../connection/connection-uri.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { DumpFormat } from '../repository/dump-facts.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { pgrecallVersion } from '../version.ts';
import { chunkClassOf } from './chunk-cutter.ts';
import { runClient } from './client-process.ts';
import { dumpArguments, dumpPath, globalsArguments, globalsPath } from './dump-arguments.ts';
import { dumpDirectory } from './dump-directory.ts';
import type { ServerDatabase } from './dump-server.ts';
import { warnOfOptions } from './dump-warnings.ts';
import { clientCommand, runDump, type DumpOptions, type Dumping } from './dumping.ts';
import { openEarlierDumps } from './earlier-dumps.ts';
import { explainFailure } from './explain-failure.ts';
import { openPumpedPipe } from './open-pipe.ts';
import type { StoredStream } from './store-items.ts';

/*
 * A logical backup: what pg_dump and pg_dumpall write, streamed into the repository. One database after the other, each as of
 * its own moment. What they say and how they end decides; then the manifest, and the record, which is the commit.
 *
 * Chunks that an earlier dump has stored are named again (earlier-dumps.ts); the claim on it protects what is stored here,
 * too, until the record names it. No lock: dumps and physical backups go on beside each other.
 */

/**
 * Throws `dump-failed`, `server-rights`, `connection`, `server-program-missing` and what the storage throws; no dump is
 * listed then, and what was written is removed.
 */
export async function takeDump(options: DumpOptions): Promise<BackupRecord> {
  const { cluster, databases, format, independent, signal } = options;
  const startedAt = options.now();
  const id = await chooseId(cluster, startedAt, 'dump');
  const oids = databases.map(({ oid }) => oid);
  const lock = { purpose: 'dump', now: options.now, randomBytes: options.randomBytes };
  await using earlier = await openEarlierDumps(cluster, id, { oids, format, independent }, lock);
  const storing = options.storing(earlier);
  const dumping: Dumping = { options, earlier, storing, files: new Map(), warnings: [] };
  try {
    const copyAll = async (manifest: ManifestWriter): Promise<BackupRecord> => {
      await dumpEverything(dumping);
      const packs = await storing.finish();
      await writeManifest(manifest, dumping.files, startedAt);
      const storedBytes = packs.reduce((sum, pack) => sum + pack.sizeBytes, manifest.storedBytes);
      return makeRecord(dumping, { id, startedAt, storedBytes, packs: manifest.packs });
    };
    return await writeBackup({ cluster, id, copying: storing, signal, copyAll });
  } finally {
    await storing.close();
  }
}

async function dumpEverything(dumping: Dumping): Promise<void> {
  const { options, warnings, storing } = dumping;
  const { databases, globals, say, format } = options;
  const before = globals ? await dumpGlobals(dumping) : undefined;
  if (before)
    dumping.files.set(globalsPath, await storing.store({ source: { bytes: before }, chunkClass: chunkClassOf(0) }));
  for (const database of databases) {
    say(`dumping ${JSON.stringify(database.name)}`);
    if (format === 'directory') await dumpDirectory(dumping, database);
    else await dumpStream(dumping, database, format);
  }
  if (databases.length > 0) warnings.push(...warnOfOptions(options));
  if (databases.length > 1) {
    warnings.push(
      'each database is as of the moment when its own dump began: PostgreSQL has no snapshot of several databases',
    );
  }
  if (before && databases.length > 0 && comparable(await dumpGlobals(dumping)) !== comparable(before)) {
    warnings.push(
      'roles, tablespaces or their settings were changed meanwhile: globals.sql has them as they were at the beginning',
    );
  }
}

/** Newer versions put a random word around the script (\restrict), so that nothing in it can end it. */
function comparable(globals: Buffer): string {
  return globals.toString('latin1').replaceAll(/^\\(?:un)?restrict .*$/gm, '');
}

/** Roles and tablespaces: small, however large the databases are. */
async function dumpGlobals({ options }: Dumping): Promise<Buffer> {
  const { programs, signal } = options;
  const parts: Buffer[] = [];
  const command = clientCommand(options, programs.pgDumpall, globalsArguments);
  const ending = await runClient(command, {
    signal,
    onLine: options.say,
    take: (bytes) => void parts.push(Buffer.from(bytes)),
  });
  const { user } = connectionOptions(options.connection, options.env);
  if (ending.exitStatus !== 0) throw explainFailure({ name: 'pg_dumpall', of: 'the globals', user, ending });
  return Buffer.concat(parts);
}

async function dumpStream(
  dumping: Dumping,
  database: ServerDatabase,
  format: Exclude<DumpFormat, 'directory'>,
): Promise<void> {
  const { options, files, storing } = dumping;
  const { programs, selection } = options;
  const words = dumpArguments({ format, major: programs.major, database: database.name }, selection);
  const command = clientCommand(options, programs.pgDump, words, database.name);
  await using pipe = openPumpedPipe();
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const [stored, dumped] = await Promise.allSettled([
    storing
      .store({ source: { pump: pipe.memory }, chunkClass: chunkClassOf(database.sizeBytes) })
      .catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
    runDump({ ...dumping, options: { ...options, signal } }, database, command, { take: pipe.writer }),
  ]);
  options.signal.throwIfAborted();
  // Where nothing can be stored any more, pg_dump is ended.
  if (stored.status === 'rejected') throw stored.reason;
  if (dumped.status === 'rejected') throw dumped.reason;
  files.set(dumpPath(database.oid, format), stored.value);
}

async function writeManifest(
  manifest: ManifestWriter,
  files: ReadonlyMap<string, StoredStream>,
  at: Date,
): Promise<void> {
  const entries = [...files].toSorted(([a], [b]) => comparePaths(Buffer.from(a), Buffer.from(b)));
  const about = { kind: 'file', mode: 0o600, owner: '', group: '', modifiedMs: at.getTime() } as const;
  for (const [path, stream] of entries) {
    const entry: ManifestEntry = { path, ...about, ...stream };
    await manifest.add(entry);
  }
  await manifest.finish();
}

interface Made {
  readonly id: string;
  readonly startedAt: Date;
  readonly storedBytes: number;
  readonly packs: readonly string[];
}

function makeRecord({ options, files, earlier, warnings }: Dumping, made: Made): BackupRecord {
  const { facts, programs, databases, globals, format, selection, incarnation } = options;
  const { content, tables, schemas, options: more } = selection;
  return {
    id: made.id,
    format: 1,
    kind: 'logical',
    temperature: 'warm',
    type: 'full',
    incarnation: incarnation.number,
    postgresMajor: facts.major,
    systemIdentifier: incarnation.systemIdentifier,
    startedAt: made.startedAt.toISOString(),
    stoppedAt: options.now().toISOString(),
    timeline: 0,
    startLsn: '',
    endLsn: '',
    checkpointLsn: '',
    startSegment: '',
    stopSegment: '',
    fromStandby: facts.inRecovery,
    sizeBytes: [...files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    storedBytes: made.storedBytes,
    files: files.size,
    keep: options.keep,
    note: options.note,
    tablespaces: [],
    dump: {
      format,
      databases: databases.map(({ oid, name, sizeBytes, encoding }) => ({ oid, name, sizeBytes, encoding })),
      globals,
      content,
      ...(tables.length > 0 ? { tables } : {}),
      ...(schemas.length > 0 ? { schemas } : {}),
      ...(more.length > 0 ? { options: more } : {}),
      serverVersion: facts.version,
      dumpVersion: programs.version,
    },
    ...(earlier.reference === undefined ? {} : { reference: earlier.reference }),
    dataChecksums: false,
    badPages: [],
    pgrecallVersion,
    packs: made.packs,
    outsideFiles: [],
    warnings,
  };
}
