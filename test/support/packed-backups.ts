import type { BackupRecord } from '../../src/repository/backup-record.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import type { PackId } from '../../src/repository/pack-id.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { entry } from './manifests.ts';
import { backupRecord } from './test-repository.ts';

/* Backups that share packs, made by hand: what full and incremental ones leave in a repository. */

/** A chunk that lies in a pack. */
export interface Packed {
  readonly bytes: Buffer;
  readonly extent: Omit<Extent, 'fileOffset'>;
}

/** Packs the chunks, in this order. */
export async function packChunks(cluster: ClusterRepository, chunks: readonly Buffer[]): Promise<Packed[]> {
  const pack = await cluster.createPack();
  const packed: Packed[] = [];
  for (const bytes of chunks) {
    const blob = await pack.append(bytes);
    packed.push({ bytes, extent: { pack: pack.id, blob, blobOffset: 0, lengthBytes: bytes.length } });
  }
  await pack.finish();
  return packed;
}

/** A part of a chunk. */
export function partOf({ bytes, extent }: Packed, from: number, to: number): Packed {
  return { bytes: bytes.subarray(from, to), extent: { ...extent, blobOffset: from, lengthBytes: to - from } };
}

/** Stores a backup whose files are joined from chunks; gives its content as `readBackup` does. */
export async function writeBackup(
  cluster: ClusterRepository,
  id: string,
  files: Readonly<Record<string, readonly Packed[]>>,
  changes: Partial<BackupRecord> = {},
): Promise<Map<string, Buffer | string>> {
  const expected = new Map<string, Buffer | string>([
    ['', 'directory'],
    ['global/pg_control', Buffer.from(`control of ${id}`)],
  ]);
  const packs = new Set<PackId>();
  const manifest = await cluster.createManifest(id);
  await manifest.add(entry('', { kind: 'directory', mode: 0o700 }));
  for (const [path, chunks] of Object.entries(files)) {
    const content = Buffer.concat(chunks.map(({ bytes }) => bytes));
    let fileOffset = 0;
    const extents = chunks.map(({ extent }): Extent => {
      packs.add(extent.pack);
      const placed = { ...extent, fileOffset };
      fileOffset += extent.lengthBytes;
      return placed;
    });
    await manifest.add(entry(path, { sizeBytes: content.length, crc32c: crc32c(content), extents }));
    expected.set(path, content);
  }
  await manifest.attach('pg_control', Buffer.from(`control of ${id}`));
  await manifest.attach('backup_label', Buffer.from(`label of ${id}`));
  await manifest.finish();
  await cluster.writeRecord(id, backupRecord(id, { packs: [...packs], ...changes }));
  return expected;
}
