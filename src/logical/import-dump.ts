import { hash } from 'node:crypto';
import { chooseId, writeBackup } from '../backup/write-backup.ts';
import { PgrecallError, assert } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { DumpedDatabase } from '../repository/dump-facts.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { pgrecallVersion } from '../version.ts';
import { chunkClassOf } from './chunk-cutter.ts';
import { directoryPath, dumpPath, globalsPath } from './dump-arguments.ts';
import { openEarlierDumps } from './earlier-dumps.ts';
import type { ImportedFacts } from './import-contents.ts';
import type { PeekedImport } from './import-peek.ts';
import type { ImportSource } from './import-source.ts';
import { storeImportDirectory, storeImportFile, type ImportStoring } from './import-store.ts';
import type { StoredStream, Storing } from './store-items.ts';
import type { EarlierChunks } from './storing.ts';

/*
 * A dump that pg_dump has made elsewhere, taken into the repository as one of ours. It is looked at on its way: an archive has to
 * be complete to its last block, a script to its last line; what is found too late is taken back, and never listed.
 *
 * What was compressed as a whole, and the files of rows in a directory, are stored decompressed: they are compressed here, and
 * what an earlier dump has is found. What pg_dump has compressed within a custom archive stays as it is.
 */

export interface ImportOptions {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly source: ImportSource;
  readonly peeked: PeekedImport;
  /** Whose dump it is; undefined for globals. */
  readonly database: string | undefined;
  readonly storing: (earlier: EarlierChunks) => Storing;
  readonly note: string;
  readonly keep: boolean;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly signal: AbortSignal;
  /** Bytes of the files, as they lie there. */
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

/** Throws `dump-contents`, `io`, and what the storage throws; no dump is listed then, and what was stored is removed. */
export async function importDump(options: ImportOptions): Promise<BackupRecord> {
  const { cluster, peeked, signal, now, randomBytes } = options;
  const startedAt = now();
  const id = await chooseId(cluster, startedAt, 'dump');
  const same = await namesakes(options);
  const wanted = { oids: same.oids, format: peeked.format, independent: false };
  await using earlier = await openEarlierDumps(cluster, id, wanted, { purpose: 'import', now, randomBytes });
  const storing = options.storing(earlier);
  const chunkClass = chunkClassOf(Math.max(same.sizeBytes, importBytes(options.source)));
  try {
    const copyAll = async (manifest: ManifestWriter): Promise<BackupRecord> => {
      const { files, facts } = await storeAll(options, { ...options, storing, chunkClass });
      const packs = await storing.finish();
      await writeManifest(manifest, files, startedAt);
      const storedBytes = packs.reduce((sum, pack) => sum + pack.sizeBytes, manifest.storedBytes);
      return makeRecord(options, {
        ...{ id, startedAt, files, facts, storedBytes },
        packs: manifest.packs,
        reference: earlier.reference,
      });
    };
    return await writeBackup({ cluster, id, copying: storing, signal, copyAll });
  } finally {
    await storing.close();
  }
}

/** Of all files, as they lie there. */
export function importBytes(source: ImportSource): number {
  const files = source.kind === 'file' ? [source.file] : [...source.files.values()];
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

interface Namesakes {
  readonly oids: readonly number[];
  /** The last that is known. */
  readonly sizeBytes: number;
}

/** Databases of earlier dumps that are called the same: what they have stored is not stored again. */
async function namesakes({ cluster, database }: ImportOptions): Promise<Namesakes> {
  if (database === undefined) return { oids: [], sizeBytes: 0 };
  const backups = await cluster.listBackups({ onDamaged: () => undefined });
  const found = backups.flatMap(({ dump }) => dump?.databases.filter(({ name }) => name === database) ?? []);
  return {
    oids: [...new Set([oidOf(database), ...found.map(({ oid }) => oid)])],
    sizeBytes: found.at(-1)?.sizeBytes ?? 0,
  };
}

const firstMadeUpOid = 0xf000_0000;

/**
 * The number in the server is not told by every file, and another server's may be that of one of ours: the name decides,
 * among numbers that no server has reached.
 */
function oidOf(name: string): number {
  return firstMadeUpOid + (hash('sha256', name, 'buffer').readUInt32LE() & 0x0fff_ffff);
}

interface StoredFiles {
  /** By their paths in the manifest. */
  readonly files: ReadonlyMap<string, StoredStream>;
  readonly facts: ImportedFacts;
}

async function storeAll({ source, peeked, database }: ImportOptions, importing: ImportStoring): Promise<StoredFiles> {
  const oid = database === undefined ? 0 : oidOf(database);
  if (source.kind === 'directory') {
    const { files, facts } = await storeImportDirectory(importing, source.files);
    return { files: new Map([...files].map(([name, stream]) => [directoryPath(oid, name), stream])), facts };
  }
  const { kind, format } = peeked;
  assert(kind !== undefined && format !== 'directory', 'a file of no kind');
  const { stored, facts } = await storeImportFile(importing, kind, source.file);
  return { files: new Map([[database === undefined ? globalsPath : dumpPath(oid, format), stored]]), facts };
}

async function writeManifest(
  manifest: ManifestWriter,
  files: ReadonlyMap<string, StoredStream>,
  at: Date,
): Promise<void> {
  const entries = [...files].toSorted(([a], [b]) => comparePaths(Buffer.from(a), Buffer.from(b)));
  const about = { kind: 'file', mode: 0o600, owner: '', group: '', modifiedMs: at.getTime() } as const;
  for (const [path, stream] of entries) await manifest.add({ path, ...about, ...stream });
  await manifest.finish();
}

interface Made extends StoredFiles {
  readonly id: string;
  readonly startedAt: Date;
  readonly storedBytes: number;
  readonly packs: readonly string[];
  readonly reference: string | undefined;
}

function makeRecord(options: ImportOptions, { files, facts, ...made }: Made): BackupRecord {
  const { incarnation, source, peeked, database } = options;
  const { encoding, content, serverVersion, dumpVersion, dumpedAt } = facts;
  if (database === undefined && !facts.globals) throw new PgrecallError('bug', 'a dump of no database');
  const databases: DumpedDatabase[] =
    database === undefined ? [] : [{ oid: oidOf(database), name: database, sizeBytes: 0, encoding }];
  return {
    id: made.id,
    format: 1,
    kind: 'logical',
    temperature: 'warm',
    type: 'full',
    incarnation: incarnation.number,
    postgresMajor: Number.parseInt(serverVersion, 10) || incarnation.postgresMajor,
    systemIdentifier: incarnation.systemIdentifier,
    startedAt: made.startedAt.toISOString(),
    stoppedAt: options.now().toISOString(),
    timeline: 0,
    startLsn: '',
    endLsn: '',
    checkpointLsn: '',
    startSegment: '',
    stopSegment: '',
    fromStandby: false,
    sizeBytes: [...files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    storedBytes: made.storedBytes,
    files: files.size,
    keep: options.keep,
    note: options.note,
    tablespaces: [],
    dump: {
      format: peeked.format,
      databases,
      globals: database === undefined,
      content,
      ...(facts.options ? { options: facts.options } : {}),
      serverVersion,
      dumpVersion,
      imported: { file: source.name, ...(dumpedAt === undefined ? {} : { dumpedAt }) },
    },
    ...(made.reference === undefined ? {} : { reference: made.reference }),
    dataChecksums: false,
    badPages: [],
    pgrecallVersion,
    packs: made.packs,
    outsideFiles: [],
    warnings: [],
  };
}
