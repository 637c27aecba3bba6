import type { Extent } from '../repository/file-map.ts';
import { chunkBytes } from './copy-items.ts';

/*
 * Increment after increment, a file's pages scatter over blobs of which ever less is still in use; a restore has to open all
 * of them. So a piece of a file that is written to anyway gives up its worst blobs where its map has become too costly:
 * what is still in use of them is read from the source once more and stored anew.
 *
 * Two bounds hold for every piece after each backup that touches it (docs/architecture.md, "Fragmentation"):
 *  - its blobs together hold at most 1.5 times what it has. Given up first: those of which the smallest share is in
 *    use, since they cost least and yield most.
 *  - it lies in at most twice as many blobs as it has chunks, and 4 more. Given up first: those with the fewest bytes
 *    in use.
 */

const mostVolume = 1.5;
const mostBlobsPerChunk = 2;
const moreBlobs = 4;

interface BlobUse {
  readonly plainBytes: number;
  readonly parts: Extent[];
  usedBytes: number;
}

/**
 * The extents of `map` that should be stored anew, in the file's order; none where the map is within the bounds.
 * `lengthBytes`: of the piece that it maps.
 */
export function planRewriting(map: readonly Extent[], lengthBytes: number): Extent[] {
  const blobs = blobsOf(map);
  const chunks = Math.ceil(lengthBytes / chunkBytes);
  const blobLimit = chunks * mostBlobsPerChunk + moreBlobs;
  const volumeLimit = Math.max(lengthBytes * mostVolume, chunkBytes);
  let volume = 0;
  for (const { plainBytes } of blobs) volume += plainBytes;
  if (volume <= volumeLimit && blobs.length <= blobLimit) return [];

  const given = new Set<BlobUse>();
  let rewritten = 0;
  const give = (blob: BlobUse): void => {
    given.add(blob);
    volume -= blob.plainBytes - blob.usedBytes;
    rewritten += blob.usedBytes;
  };
  const share = ({ usedBytes, plainBytes }: BlobUse): number => usedBytes / plainBytes;
  for (const blob of blobs.toSorted((a, b) => share(a) - share(b))) {
    if (volume <= volumeLimit) break;
    give(blob);
  }
  const count = (): number => blobs.length - given.size + Math.ceil(rewritten / chunkBytes);
  for (const blob of blobs.toSorted((a, b) => a.usedBytes - b.usedBytes)) {
    if (count() <= blobLimit) break;
    if (!given.has(blob)) give(blob);
  }
  return [...given].flatMap(({ parts }) => parts).toSorted((a, b) => a.fileOffset - b.fileOffset);
}

function blobsOf(map: readonly Extent[]): BlobUse[] {
  const byPack = new Map<string, Map<number, BlobUse>>();
  const all: BlobUse[] = [];
  for (const extent of map) {
    const { pack, blob, lengthBytes } = extent;
    let ofPack = byPack.get(pack);
    if (!ofPack) byPack.set(pack, (ofPack = new Map()));
    let use = ofPack.get(blob.offset);
    if (!use) {
      use = { plainBytes: blob.plainBytes, parts: [], usedBytes: 0 };
      ofPack.set(blob.offset, use);
      all.push(use);
    }
    use.parts.push(extent);
    use.usedBytes += lengthBytes;
  }
  return all;
}
