import { crc32cCombine } from '../bytes/crc32c.ts';

/*
 * The CRC-32C of a file of which only some pieces were looked at. CRCs are linear: that of the whole is the exclusive-or of
 * those of its pieces, each moved on by the bytes that follow. So what the untouched pieces contribute is the
 * reference's CRC without what its other pieces contributed, moved by as much as the file has grown.
 */

/** Bytes that move every CRC to where it was: x has this order modulo the polynomial, and 8 has no divisor in common with it. */
const period = 2_147_483_647;

/** One piece of a file, as it was and as it is. */
export interface PieceCrcs {
  /** 0 where the reference had nothing of this piece. */
  readonly oldBytes: number;
  /** 0 where nothing is left of it. */
  readonly newBytes: number;
  /** Unchanged: its CRCs are not needed. */
  readonly kept: boolean;
  readonly oldCrc32c: number | undefined;
  readonly newCrc32c: number | undefined;
}

/**
 * `undefined` where that of a piece that changed is not known. Only pieces behind the last one that is kept may have another
 * length than they had: pieces begin where they began.
 */
export function crcByDifference(oldCrc32c: number, pieces: readonly PieceCrcs[]): number | undefined {
  let [oldOthers, newOthers, grownBytes] = [0, 0, 0];
  for (const { oldBytes, newBytes, kept, oldCrc32c: oldOne, newCrc32c: newOne } of pieces) {
    if (!kept && (oldOne === undefined || newOne === undefined)) return undefined;
    oldOthers = crc32cCombine(oldOthers, kept ? 0 : (oldOne ?? 0), oldBytes);
    newOthers = crc32cCombine(newOthers, kept ? 0 : (newOne ?? 0), newBytes);
    grownBytes += newBytes - oldBytes;
  }
  const forwards = ((grownBytes % period) + period) % period;
  return (crc32cCombine(oldCrc32c ^ oldOthers, 0, forwards) ^ newOthers) >>> 0;
}
