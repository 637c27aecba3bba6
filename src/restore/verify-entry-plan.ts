import { summedBytes, sumsLength } from '../repository/block-sums.ts';
import type { Extent } from '../repository/file-map.ts';
import { entryFlags, type FileMaps } from '../repository/manifest.ts';
import type { PackId } from '../repository/pack-id.ts';
import { partsWithin, piecesOf, type FileRange } from './extent-order.ts';
import { compareMaps, holdsWholeBlocks, isSameMap } from './map-difference.ts';
import type { BlockItem, StreamItem, VerifyItem } from './verify-items.ts';

/*
 * What of a file is to be read to verify it, given the same file in a backup that is verified already. Whatever lies at the
 * same place there is not read again; where the sums of such blocks lie elsewhere, they are compared with the other backup's.
 */

/** A file as a backup has it. */
export interface VerifiedFile extends FileMaps {
  readonly sizeBytes: number;
  readonly crc32c: number;
  readonly flags: number;
}

export interface EntryPlan {
  readonly items: readonly VerifyItem[];
  /** Whether the CRC-32Cs of the items are those of all of the file, and have to make its own. */
  readonly givesCrc: boolean;
}

export interface PlanOptions {
  /** The same file in a backup that is verified already. */
  readonly beside: VerifiedFile | undefined;
  /** Whether blobs of the pack have to be read. */
  readonly isToRead: (pack: PackId) => boolean;
  /** Whether what the manifest says of the file has to be compared, too, as of one that was verified it need not. */
  readonly manifestIsNew: boolean;
}

/** A stream item has so many extents: 64 MiB of chunks. */
const streamExtents = 256;

const nothing: EntryPlan = { items: [], givesCrc: false };

export function planEntry(file: VerifiedFile, options: PlanOptions): EntryPlan {
  const { beside } = options;
  if (file.sizeBytes === 0) return nothing;
  if (beside && isSameFile(file, beside)) return nothing;
  return hasSums(file) ? planBlocks(file, options) : planStream(file, options);
}

function isSameFile(a: VerifiedFile, b: VerifiedFile): boolean {
  const sameValues = a.sizeBytes === b.sizeBytes && a.crc32c === b.crc32c && a.flags === b.flags;
  return sameValues && isSameMap(a.extents, b.extents) && isSameMap(a.sums, b.sums);
}

function hasSums({ flags, sums, extents }: VerifiedFile): boolean {
  return (flags & entryFlags.chunkDigests) === 0 && sums.length > 0 && holdsWholeBlocks(extents);
}

/** Of a file whose blocks nobody summed up there is one CRC-32C: it is read whole, or not at all. */
function planStream({ extents, sums }: VerifiedFile, { isToRead }: PlanOptions): EntryPlan {
  const isKnown = ({ pack }: Extent): boolean => !isToRead(pack);
  if (extents.every(isKnown) && sums.every(isKnown)) return nothing;
  const items: StreamItem[] = [];
  for (let i = 0; i < extents.length; i += streamExtents) {
    items.push({
      kind: 'stream',
      content: extents.slice(i, i + streamExtents),
      also: i === 0 ? sums : [],
    });
  }
  return { items, givesCrc: true };
}

function planBlocks(file: VerifiedFile, options: PlanOptions): EntryPlan {
  const { isToRead, manifestIsNew } = options;
  const beside = options.beside && hasSums(options.beside) ? options.beside : undefined;
  const { same, fresh } = beside ? compareBlocks(file, beside) : { same: [], fresh: file.extents };
  const toRead = fresh.filter(({ pack }) => isToRead(pack));
  const sameCrc = beside?.sizeBytes === file.sizeBytes && beside.crc32c === file.crc32c;
  const givesCrc = manifestIsNew && !(beside && sameCrc && isSameMap(file.sums, beside.sums));
  const items: BlockItem[] = [];
  for (const piece of piecesOf(file.sizeBytes)) {
    const sums = sumsWithin(file, piece);
    const others = beside && sumsWithin(beside, piece);
    const content = partsWithin(toRead, [piece]);
    const otherwise = others !== undefined && isSameMap(sums, others) ? [] : sums;
    const compared = others && manifestIsNew && otherwise.length > 0 ? partsWithin(same, [piece]) : [];
    const isNeeded =
      givesCrc || content.length > 0 || compared.length > 0 || otherwise.some(({ pack }) => isToRead(pack));
    if (!isNeeded) continue;
    items.push({
      kind: 'blocks',
      start: piece.start,
      lengthBytes: piece.end - piece.start,
      content,
      sums,
      ...(others && compared.length > 0 ? { beside: { sums: others, same: compared } } : {}),
    });
  }
  return { items, givesCrc };
}

/** The last block of a file that has another size in the other backup is another block, wherever it lies. */
function compareBlocks(
  file: VerifiedFile,
  beside: VerifiedFile,
): { same: readonly Extent[]; fresh: readonly Extent[] } {
  const { same, fresh } = compareMaps(file.extents, beside.extents);
  if (file.sizeBytes === beside.sizeBytes) return { same, fresh };
  const whole = Math.floor(Math.min(file.sizeBytes, beside.sizeBytes) / summedBytes) * summedBytes;
  return {
    same: partsWithin(same, [{ start: 0, end: whole }]),
    fresh: [
      ...partsWithin(fresh, [{ start: 0, end: whole }]),
      ...partsWithin(file.extents, [{ start: whole, end: file.sizeBytes }]),
    ],
  };
}

/** Of a piece, as far as the file goes. */
function sumsWithin({ sums, sizeBytes }: VerifiedFile, { start, end }: FileRange): readonly Extent[] {
  if (start >= sizeBytes) return [];
  return partsWithin(sums, [{ start: sumsLength(start), end: sumsLength(Math.min(end, sizeBytes)) }]);
}
