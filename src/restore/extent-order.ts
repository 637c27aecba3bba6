import type { Extent } from '../repository/file-map.ts';
import type { PackId } from '../repository/pack-id.ts';

/*
 * The map of a file is in the order of the file; the blobs of an incremental backup lie in many packs, and a blob holds
 * pages from all over a piece. What is restored is therefore read in the order of the blobs and written by position:
 * each blob is opened once for a piece, and each pack is read from its beginning to its end.
 */

/** A file is restored in pieces of this much. Backups gather pages within the same pieces (docs/repository-format.md). */
export const pieceBytes = 67_108_864;

/** A run of bytes of a file. */
export interface FileRange {
  readonly start: number;
  readonly end: number;
}

/** Where the pieces of a file begin and end. */
export function* piecesOf(sizeBytes: number): Generator<FileRange> {
  for (let start = 0; start < sizeBytes; start += pieceBytes) {
    yield { start, end: Math.min(start + pieceBytes, sizeBytes) };
  }
}

/** The parts of a map's extents within the ranges; both are in the order of the file, without overlaps. */
export function partsWithin(extents: readonly Extent[], ranges: readonly FileRange[]): Extent[] {
  const parts: Extent[] = [];
  let i = firstEndingAfter(extents, ranges[0]?.start ?? 0);
  for (const { start, end } of ranges) {
    for (let extent = extents[i]; extent && extent.fileOffset < end; extent = extents[i]) {
      const extentEnd = extent.fileOffset + extent.lengthBytes;
      if (extentEnd > start) parts.push(partOf(extent, Math.max(start, extent.fileOffset), Math.min(end, extentEnd)));
      // The next range may lie in the same extent.
      if (extentEnd > end) break;
      i += 1;
    }
  }
  return parts;
}

function partOf(extent: Extent, start: number, end: number): Extent {
  if (start === extent.fileOffset && end - start === extent.lengthBytes) return extent;
  return {
    ...extent,
    fileOffset: start,
    lengthBytes: end - start,
    blobOffset: extent.blobOffset + start - extent.fileOffset,
  };
}

function firstEndingAfter(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent && extent.fileOffset + extent.lengthBytes <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The extents pack by pack, as they are met first, and within a pack by the place of their blobs. */
export function inBlobOrder(extents: readonly Extent[]): readonly Extent[] {
  const packs = new Map<PackId, Extent[]>();
  let ordered = true;
  let current: Extent[] = [];
  let previous: Extent | undefined;
  for (const extent of extents) {
    if (extent.pack !== previous?.pack) {
      const there = packs.get(extent.pack);
      if (there) ordered = false;
      else packs.set(extent.pack, []);
      current = packs.get(extent.pack) ?? [];
    } else if (extent.blob.offset < previous.blob.offset) {
      ordered = false;
    }
    current.push(extent);
    previous = extent;
  }
  if (ordered) return extents;
  return [...packs.values()].flatMap(byBlob);
}

/** Of one pack. The parts of a blob stay in the order of the file. */
function byBlob(extents: readonly Extent[]): Extent[] {
  return extents.toSorted((a, b) => a.blob.offset - b.blob.offset);
}
