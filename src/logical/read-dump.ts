import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { StoredEntry } from '../repository/manifest.ts';

/** So many chunks are held at once: some MB. */
const heldChunks = 16;

/** The files of a dump, by their paths in its manifest. The caller has claimed it. */
export async function listDumpFiles(cluster: ClusterRepository, id: string): Promise<ReadonlyMap<string, StoredEntry>> {
  await using manifest = await cluster.openManifest(id);
  const files = new Map<string, StoredEntry>();
  for await (const entry of manifest.entries()) {
    if (entry.kind !== 'file') continue;
    // The manifest is closed by the time that somebody asks.
    const maps = await entry.loadMaps();
    files.set(entry.path, { ...entry, maps, loadMaps: async () => maps });
  }
  return files;
}

/**
 * A file of a dump from its first byte to its last, in bounded memory. Each piece is good until the next is asked for.
 * Throws `blob-damaged`, `object-damaged`, `object-missing`; also, after the last piece, where all of it is not what was
 * dumped.
 */
export async function* readDumpFile(cluster: ClusterRepository, file: StoredEntry): AsyncGenerator<Uint8Array> {
  const { extents } = await file.loadMaps();
  const reader = new ExtentReader(cluster, { givesBack: true });
  let crc = 0;
  try {
    for await (const piece of reader.pieces(extents, heldChunks)) {
      crc = crc32c(piece, crc);
      yield piece;
    }
  } finally {
    await reader.close();
  }
  if (crc !== file.crc32c) {
    throw new PgrecallError('object-damaged', `"${file.path}" is not what was dumped: its CRC-32C differs`);
  }
}
