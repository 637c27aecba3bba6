import { crc32cCombine } from '../bytes/crc32c.ts';
import { assert } from '../errors/pgrecall-error.ts';
import { sumsLength } from '../repository/block-sums.ts';
import type { Extent } from '../repository/file-map.ts';
import { entryFlags } from '../repository/manifest.ts';
import type { CopiedItem, Copying } from './copy-items.ts';
import { unreadItem, type KeptPiece, type Pending, type Piece, type SentPiece } from './copy-order.ts';
import { crcByDifference, type PieceCrcs } from './file-crc.ts';
import { joinExtents } from './overlay-extents.ts';
import { unpackMap, type PackedMap } from './packed-map.ts';

/** A file as it is in the backup. */
export interface JoinedFile {
  readonly sizeBytes: number;
  readonly crc32c: number;
  readonly extents: readonly Extent[];
  readonly sums: readonly Extent[];
  readonly flags: number;
  readonly badBlocks: readonly number[];
}

/**
 * One file of its pieces; `undefined` where it vanished. A file that shrank meanwhile ends where its first short
 * piece ends, as though it had been read at that moment; what was cut off is replayed from WAL.
 */
export async function joinPieces(
  pending: Pending,
  pieceBytes: number,
  copying: Copying,
): Promise<JoinedFile | undefined> {
  const pieces = pending.pieces ?? [];
  if (pieces.some((piece) => piece.item && resultOf(piece).vanished)) return undefined;
  const isShort = (piece: Piece): boolean => !!piece.item && resultOf(piece).lengthBytes < piece.item.lengthBytes;
  const shortened = pieces.findIndex(isShort);
  const used = shortened < 0 ? pieces : pieces.slice(0, shortened + 1);
  const parts = used.map((piece) => (piece.item ? resultOf(piece) : piece.before));
  const badBlocks = used.flatMap((piece) => (piece.item ? resultOf(piece).badBlocks : []));
  return {
    sizeBytes: parts.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    crc32c: await crcOf(pending, pieceBytes, used, copying),
    extents: joinMaps(parts.map(({ content, lengthBytes }) => ({ map: content, lengthBytes }))),
    sums: joinMaps(parts.map(({ sums, lengthBytes }) => ({ map: sums, lengthBytes: sumsLength(lengthBytes) }))),
    flags: badBlocks.length > 0 ? entryFlags.badPageChecksums : 0,
    badBlocks,
  };
}

function joinMaps(parts: readonly { readonly map: PackedMap; readonly lengthBytes: number }[]): readonly Extent[] {
  let start = 0;
  const maps: Extent[][] = [];
  for (const { map, lengthBytes } of parts) {
    maps.push(unpackMap(map, lengthBytes, start));
    start += lengthBytes;
  }
  return joinExtents(maps);
}

function resultOf({ result }: SentPiece): CopiedItem {
  assert(result, 'a piece without its result');
  return result;
}

async function crcOf(
  { before, entry, pieces = [] }: Pending,
  pieceBytes: number,
  used: readonly Piece[],
  copying: Copying,
): Promise<number> {
  const kept = used.filter((piece): piece is KeptPiece => !piece.item);
  if (before && kept.length > 0) {
    const crc = crcByDifference(before.crc32c, crcsOf(before.sizeBytes, pieceBytes, pieces, used.length));
    if (crc !== undefined) return crc;
  }
  // Seldom: a file that shrank, so that pieces are gone of which nobody has read the sums.
  const unread = kept.length > 0 ? (await copying.copy(kept.map((piece) => unreadItem(piece, entry)))).items : [];
  let crc32c = 0;
  for (const piece of used) {
    const result = piece.item ? resultOf(piece) : unread[kept.indexOf(piece)];
    assert(result, 'a piece without its CRC');
    crc32c = crc32cCombine(crc32c, result.crc32c, result.lengthBytes);
  }
  return crc32c;
}

/** Those of all pieces that the file has or had; only the first `used` are in the backup. */
function crcsOf(beforeBytes: number, pieceBytes: number, pieces: readonly Piece[], used: number): PieceCrcs[] {
  const count = Math.max(used, Math.ceil(beforeBytes / pieceBytes));
  return Array.from({ length: count }, (_, i) => {
    const piece = pieces[i];
    const oldBytes = Math.max(0, Math.min(pieceBytes, beforeBytes - i * pieceBytes));
    const isUsed = i < used;
    if (piece && !piece.item) {
      const newBytes = isUsed ? piece.before.lengthBytes : 0;
      return { oldBytes, newBytes, kept: isUsed, oldCrc32c: undefined, newCrc32c: isUsed ? undefined : 0 };
    }
    const result = piece && resultOf(piece);
    return {
      oldBytes,
      newBytes: isUsed ? (result?.lengthBytes ?? 0) : 0,
      kept: false,
      oldCrc32c: oldBytes === 0 ? 0 : result?.beforeCrc32c,
      newCrc32c: isUsed ? result?.crc32c : 0,
    };
  });
}
