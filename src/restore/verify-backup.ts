import { crc32cCombine } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { Extent } from '../repository/file-map.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { UnderWay } from '../threads/under-way.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { RestoreWorkerData } from './restore-worker.ts';
import type { VerifiedBatch, VerifiedItem, VerifyBatch } from './verify-items.ts';

/** Something that is not as it was written. */
export interface Damage {
  /** The backup it harms. */
  readonly backup: string;
  /** The file in the cluster, or the part of the backup. */
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

export interface VerifyOptions {
  readonly cluster: ClusterRepository;
  readonly access: RepositoryAccess;
  readonly jobs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

export interface VerifiedBackup {
  readonly backup: string;
  readonly files: number;
  readonly sizeBytes: number;
  readonly damage: readonly Damage[];
}

/** Extents to a piece: 64 MiB of 256 KiB chunks. */
const pieceExtents = 256;
/** Without which a backup does not start. */
const attachments = { hot: ['backup_label', 'tablespace_map', 'pg_control'], warm: [], cold: ['pg_control'] } as const;

/** Reads a backup whole, as a restore would, and compares each file with the CRC taken when it was read from the cluster. */
export async function verifyBackup(record: BackupRecord, options: VerifyOptions): Promise<VerifiedBackup> {
  const damage: Damage[] = [];
  const found = (path: string, code: string, message: string): void => {
    damage.push({ backup: record.id, path, code, message });
  };
  const counted = { files: 0, sizeBytes: 0 };
  const pool = new WorkerPool<VerifyBatch, VerifiedBatch>({
    module: workerModule('verify-worker', import.meta.url),
    size: options.jobs,
    workerData: { access: options.access, cluster: options.cluster.name } satisfies RestoreWorkerData,
  });
  const underWay = new UnderWay();
  try {
    const manifest = await options.cluster.openManifest(record.id);
    try {
      for (const name of attachments[record.temperature]) {
        if (!(await manifest.attachment(name))) found(name, 'object-damaged', 'missing from the manifest');
      }
      for await (const entry of manifest.entries()) {
        options.signal.throwIfAborted();
        if (entry.kind !== 'file') continue;
        counted.files += 1;
        counted.sizeBytes += entry.sizeBytes;
        const { extents } = entry.maps ?? (await entry.loadMaps());
        underWay.start(verifyFile(pool, entry, extents, found, options.onProgress));
        await underWay.fewerThan(options.jobs * 8);
      }
    } finally {
      await manifest.close();
    }
    await underWay.allDone();
  } catch (error) {
    if (!(error instanceof PgrecallError) || error.exitStatus !== 3) throw error;
    found('manifest', error.code, error.message);
  } finally {
    await pool.close();
  }
  if (damage.length === 0 && counted.files !== record.files) {
    found('manifest', 'object-damaged', `has ${counted.files} files where the record says ${record.files}`);
  }
  return { backup: record.id, ...counted, damage };
}

async function verifyFile(
  pool: WorkerPool<VerifyBatch, VerifiedBatch>,
  entry: StoredEntry,
  extents: readonly Extent[],
  found: (path: string, code: string, message: string) => void,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const pieces: Promise<VerifiedBatch>[] = [];
  for (let i = 0; i < extents.length; i += pieceExtents) {
    pieces.push(pool.run({ items: [{ extents: extents.slice(i, i + pieceExtents) }] }));
  }
  const results = (await Promise.all(pieces)).flatMap((batch) => batch.items);
  const damaged = results.find((result) => result.kind === 'damaged');
  if (damaged) {
    found(entry.path, damaged.code, damaged.message);
    return;
  }
  const { lengthBytes, crc32c } = join(results);
  onProgress(lengthBytes);
  if (lengthBytes !== entry.sizeBytes || crc32c !== entry.crc32c) {
    found(entry.path, 'object-damaged', 'its content is not what was read from the cluster (size or CRC-32C differs)');
  }
}

function join(results: readonly VerifiedItem[]): { lengthBytes: number; crc32c: number } {
  let lengthBytes = 0;
  let crc32c = 0;
  for (const result of results) {
    if (result.kind !== 'read') continue;
    crc32c = lengthBytes === 0 ? result.crc32c : crc32cCombine(crc32c, result.crc32c, result.lengthBytes);
    lengthBytes += result.lengthBytes;
  }
  return { lengthBytes, crc32c };
}
