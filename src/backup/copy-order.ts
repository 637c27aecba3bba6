import { pageBytes } from '../postgres/page.ts';
import { parseRelationPath } from '../postgres/relation-file.ts';
import { sumBytes, summedBytes } from '../repository/block-sums.ts';
import { entryFlags, type StoredEntry } from '../repository/manifest.ts';
import type { CopiedItem, CopyItem, PieceBefore, PieceLook } from './copy-items.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import type { Look } from './look-at-file.ts';
import { splitExtents } from './overlay-extents.ts';
import { packMap } from './packed-map.ts';
import type { BesideEntry } from './walk-beside.ts';

/*
 * In which order files go to the threads. Largest first, so that no thread is left alone with a large file at the
 * end; but only within a window of the walk, so that neither millions of entries nor the file maps of all that is
 * copied have to be held until the first entry in the manifest's order is done.
 */

/** Large files go to the threads in pieces of this size, so that the last one does not keep all waiting. */
export const usualPieceBytes = 67_108_864;

const windowEntries = 32_768;
const windowBytes = 34_359_738_368;

/** Files below this stay in the walk's order, which is that of their directories. */
const largeBytes = 1_048_576;

/** A walked entry on its way into the manifest. */
export interface Pending extends BesideEntry {
  readonly look: Look;
  /** In order; none where there is nothing to read. `undefined` until it is divided. */
  pieces: readonly Piece[] | undefined;
}

/** A piece of a file: sent to be copied, or as the reference has it. */
export type Piece = SentPiece | KeptPiece;

/** An item that was sent, and its result once there is one. */
export interface SentPiece {
  readonly item: CopyItem;
  result: CopiedItem | undefined;
}

export interface KeptPiece {
  readonly item: undefined;
  readonly before: PieceBefore;
}

export interface DivisionRules {
  readonly dataChecksums: boolean;
  readonly relationSegmentBlocks: number;
  /** Whole pages; a test takes fewer than usual. */
  readonly pieceBytes: number;
}

export async function* windowsOf(entries: AsyncIterable<BesideEntry>): AsyncGenerator<BesideEntry[]> {
  let window: BesideEntry[] = [];
  let bytes = 0;
  for await (const entry of entries) {
    window.push(entry);
    bytes += entry.entry.sizeBytes;
    if (window.length < windowEntries && bytes < windowBytes) continue;
    yield window;
    window = [];
    bytes = 0;
  }
  yield window;
}

export function largestFirst(pending: readonly Pending[]): readonly Pending[] {
  const rank = ({ entry }: Pending): number => (entry.sizeBytes < largeBytes ? 0 : entry.sizeBytes);
  return pending.toSorted((a, b) => rank(b) - rank(a));
}

/**
 * The pieces of an entry. A relation is read as far as it went when it was found: what came after is in WAL. Any
 * other file is read to its end, since nothing repairs a configuration file that is cut.
 */
export async function divide({ entry, before, look }: Pending, rules: DivisionRules): Promise<Piece[]> {
  if (entry.kind !== 'file' || look.kind === 'untouched') return [];
  const relation = parseRelationPath(entry.path);
  const firstBlock = relation && rules.dataChecksums ? relation.segment * rules.relationSegmentBlocks : undefined;
  const { pieceBytes } = rules;
  const parts = before ? await partsOf(before, pieceBytes) : [];
  const pieces: Piece[] = [];
  const last = Math.max(relation ? 0 : 1, Math.ceil(entry.sizeBytes / pieceBytes)) - 1;
  for (let i = 0; i <= last; i += 1) {
    const offset = i * pieceBytes;
    const lengthBytes = Math.min(pieceBytes, entry.sizeBytes - offset);
    const part = parts[i];
    const pieceLook = lookAtPiece(look, i * (pieceBytes / pageBytes), pieceBytes / pageBytes, part);
    if (part?.lengthBytes === lengthBytes && pieceLook.kind === 'blocks' && pieceLook.blocks.length === 0) {
      pieces.push({ item: undefined, before: part });
      continue;
    }
    const item = {
      absolutePath: entry.absolutePath,
      offset,
      lengthBytes,
      toEnd: relation === undefined && i === last,
      firstBlock: firstBlock === undefined ? undefined : firstBlock + offset / pageBytes,
      look: pieceLook,
      before: part,
    };
    pieces.push({ item, result: undefined });
  }
  return pieces;
}

/** A piece that is kept, with nothing to be read: for its CRC, which follows from the sums. */
export function unreadItem({ before }: KeptPiece, { absolutePath }: WalkedEntry): CopyItem {
  return {
    absolutePath,
    offset: 0,
    lengthBytes: before.lengthBytes,
    toEnd: false,
    firstBlock: undefined,
    look: { kind: 'blocks', blocks: new Uint32Array(0) },
    before,
  };
}

/** Bytes that a thread has to read for it, about. */
export function weightOf({ look, lengthBytes }: CopyItem): number {
  return look.kind === 'blocks' ? look.blocks.length * pageBytes : lengthBytes;
}

/** What the reference has, piece by piece. */
async function partsOf(before: StoredEntry, pieceBytes: number): Promise<PieceBefore[]> {
  const maps = await before.loadMaps();
  // Without sums there is nothing to compare with.
  if (maps.sums.length === 0 || before.flags & entryFlags.chunkDigests) return [];
  const content = splitExtents(maps.extents, pieceBytes);
  const sums = splitExtents(maps.sums, (pieceBytes / summedBytes) * sumBytes);
  return content.map((extents, i) => ({
    lengthBytes: Math.min(pieceBytes, before.sizeBytes - i * pieceBytes),
    content: packMap(extents),
    sums: packMap(sums[i] ?? []),
  }));
}

/** Of the piece of `pages` pages from `first` on. */
function lookAtPiece(
  look: Exclude<Look, { kind: 'untouched' }>,
  first: number,
  pages: number,
  part: PieceBefore | undefined,
): PieceLook {
  // Beyond the reference's end there is nothing to compare with.
  if (!part) return { kind: 'everything' };
  if (look.kind !== 'blocks') return look;
  const some = look.blocks.subarray(placeOf(first, look.blocks), placeOf(first + pages, look.blocks));
  return { kind: 'blocks', blocks: some.map((block) => block - first) };
}

/** Of the first block that is not before `block`; blocks ascend. */
export function placeOf(block: number, blocks: Uint32Array): number {
  let [low, high] = [0, blocks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((blocks[middle] ?? 0) < block) low = middle + 1;
    else high = middle;
  }
  return low;
}
