import { summedBytes } from '../repository/block-sums.ts';
import type { Extent } from '../repository/file-map.ts';

/*
 * What the file map of a backup has in common with that of another one. A range of a file that lies at the same place
 * in both was checked with the first and need not be read for the second.
 */

export interface MapDifference {
  /** Parts of the map that lie where the other map has them. */
  readonly same: readonly Extent[];
  /** The others. */
  readonly fresh: readonly Extent[];
}

/** Both maps begin at 0, without gaps. */
export function compareMaps(extents: readonly Extent[], other: readonly Extent[]): MapDifference {
  const same: Extent[] = [];
  const fresh: Extent[] = [];
  let i = 0;
  for (const extent of extents) {
    const end = extent.fileOffset + extent.lengthBytes;
    let at = extent.fileOffset;
    while (at < end) {
      let beside = other[i];
      while (beside && beside.fileOffset + beside.lengthBytes <= at) {
        i += 1;
        beside = other[i];
      }
      const until = beside ? Math.min(end, beside.fileOffset + beside.lengthBytes) : end;
      add(beside && isSamePlace(extent, beside) ? same : fresh, cut(extent, at, until));
      at = until;
    }
  }
  return { same, fresh };
}

/** Whether bytes of both, at the same offset of the file, are the same bytes of the same blob. */
function isSamePlace(a: Extent, b: Extent): boolean {
  return (
    a.pack === b.pack && a.blob.offset === b.blob.offset && a.blobOffset - a.fileOffset === b.blobOffset - b.fileOffset
  );
}

/** One part with the last one where it goes on from there. */
function add(into: Extent[], part: Extent): void {
  const last = into.at(-1);
  if (last && last.fileOffset + last.lengthBytes === part.fileOffset && isSamePlace(last, part)) {
    into[into.length - 1] = { ...last, lengthBytes: last.lengthBytes + part.lengthBytes };
  } else {
    into.push(part);
  }
}

function cut(extent: Extent, start: number, end: number): Extent {
  if (start === extent.fileOffset && end - start === extent.lengthBytes) return extent;
  return {
    ...extent,
    fileOffset: start,
    lengthBytes: end - start,
    blobOffset: extent.blobOffset + start - extent.fileOffset,
  };
}

/** Whether two maps say the same. */
export function isSameMap(a: readonly Extent[], b: readonly Extent[]): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every((extent, i) => {
      const beside = b[i];
      return beside !== undefined && beside.lengthBytes === extent.lengthBytes && isSamePlace(extent, beside);
    })
  );
}

/** Whether every extent holds whole blocks, the last one maybe a shorter one. */
export function holdsWholeBlocks(extents: readonly Extent[]): boolean {
  return extents.every(({ fileOffset }) => fileOffset % summedBytes === 0);
}
