import type { Extent } from '../repository/file-map.ts';

/*
 * File maps of an incremental backup: the reference's map, with what was stored anew in its place. Maps here begin at 0
 * and have no gaps; what is laid over one may have gaps, and may reach beyond its end where it begins no later than there.
 */

/** A map that grows extent by extent. Parts of a blob that follow each other, in the blob as in the file, become one. */
class GrowingMap {
  readonly extents: Extent[] = [];
  #last: Extent | undefined;

  add(extent: Extent): void {
    const last = this.#last;
    if (last && goesOn(last, extent)) {
      this.#last = { ...last, lengthBytes: last.lengthBytes + extent.lengthBytes };
      this.extents[this.extents.length - 1] = this.#last;
      return;
    }
    this.#last = extent;
    this.extents.push(extent);
  }

  /** A map in which nothing is left to be joined: only its first extent may go on what is there. */
  addMap(extents: readonly Extent[]): void {
    const [first] = extents;
    if (!first) return;
    this.add(first);
    for (let i = 1; i < extents.length; i += 1) this.extents.push(extents[i] ?? first);
    if (extents.length > 1) this.#last = extents.at(-1);
  }

  /** The extents of `from` in [start, end) of the file, beginning with the one at `index`; the index of the first that reaches beyond. */
  addPart(from: readonly Extent[], index: number, start: number, end: number): number {
    let at = index;
    if (start >= end) return at;
    for (let extent = from[at]; extent; extent = from[at]) {
      if (extent.fileOffset >= end) break;
      const extentEnd = extent.fileOffset + extent.lengthBytes;
      if (extentEnd > start) this.add(clipped(extent, Math.max(start, extent.fileOffset), Math.min(end, extentEnd)));
      if (extentEnd > end) break;
      at += 1;
    }
    return at;
  }
}

function goesOn(last: Extent, next: Extent): boolean {
  return (
    last.blob.offset === next.blob.offset &&
    last.pack === next.pack &&
    last.blobOffset + last.lengthBytes === next.blobOffset &&
    last.fileOffset + last.lengthBytes === next.fileOffset
  );
}

function clipped(extent: Extent, start: number, end: number): Extent {
  if (start === extent.fileOffset && end === start + extent.lengthBytes) return extent;
  const skipped = start - extent.fileOffset;
  return { ...extent, fileOffset: start, lengthBytes: end - start, blobOffset: extent.blobOffset + skipped };
}

/** `base` up to `lengthBytes`, with `over` in its place wherever it says something; `over` is in the file's order. */
export function overlayExtents(base: readonly Extent[], over: readonly Extent[], lengthBytes: number): Extent[] {
  const merged = new GrowingMap();
  let index = 0;
  let done = 0;
  for (const extent of over) {
    if (extent.fileOffset >= lengthBytes) break;
    index = merged.addPart(base, index, done, extent.fileOffset);
    const end = Math.min(lengthBytes, extent.fileOffset + extent.lengthBytes);
    merged.add(clipped(extent, extent.fileOffset, end));
    done = end;
  }
  merged.addPart(base, index, done, lengthBytes);
  return merged.extents;
}

/** A map in parts of `partBytes` of the file; offsets stay those of the file. */
export function splitExtents(extents: readonly Extent[], partBytes: number): (readonly Extent[])[] {
  const parts: (readonly Extent[])[] = [];
  let index = 0;
  for (let start = 0; index < extents.length; start += partBytes) {
    const end = start + partBytes;
    const first = index;
    let isWhole = extents[first]?.fileOffset === start;
    while (index < extents.length && endOf(extents[index]) <= end) index += 1;
    // An extent across the end belongs to two parts; it is seldom that there is one.
    isWhole &&= (extents[index]?.fileOffset ?? end) >= end;
    if (isWhole) {
      parts.push(extents.slice(first, index));
    } else {
      const part = new GrowingMap();
      part.addPart(extents, first, start, end);
      parts.push(part.extents);
    }
  }
  return parts;
}

function endOf(extent: Extent | undefined): number {
  return extent ? extent.fileOffset + extent.lengthBytes : Infinity;
}

/** Maps that follow each other in a file, as one. */
export function joinExtents(parts: readonly (readonly Extent[])[]): readonly Extent[] {
  const [only, second] = parts;
  if (only && !second) return only;
  const joined = new GrowingMap();
  for (const part of parts) {
    joined.addMap(part);
  }
  return joined.extents;
}
