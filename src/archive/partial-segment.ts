import { hasCode } from '../errors/pgrecall-error.ts';
import { indexSegment } from '../wal/index-segment.ts';

/*
 * Beginnings of segments: what the receiver has of the segment being written, and the .partial file that a server
 * archives when its timeline ends. After what was written come zeros, or what a recycled file held before.
 */

/** Up to where `bytes` hold anything but zeros: how much of a partial segment was received, at most. */
export function usedBytes(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

/** Without the zeros at the end. */
export function usedPart(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, usedBytes(bytes));
}

/** Filled with zeros. */
export function padded(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  if (bytes.length >= sizeBytes) return bytes;
  const whole = Buffer.alloc(sizeBytes);
  whole.set(bytes);
  return whole;
}

/** Whether `whole` goes on from `beginning`. */
export function isBeginningOf(beginning: Uint8Array, whole: Uint8Array): boolean {
  return beginning.length <= whole.length && Buffer.compare(beginning, whole.subarray(0, beginning.length)) === 0;
}

/** The one with the most WAL that can be replayed. */
export function chooseBeginning(beginnings: readonly Uint8Array[]): Uint8Array | undefined {
  if (beginnings.length < 2) return beginnings[0];
  let best: { readonly bytes: Uint8Array; readonly endLsn: bigint } | undefined;
  for (const bytes of beginnings) {
    const endLsn = walEnd(bytes);
    if (!best || endLsn > best.endLsn) best = { bytes, endLsn };
  }
  return best?.bytes;
}

function walEnd(bytes: Uint8Array): bigint {
  try {
    return indexSegment(bytes, { partial: true }).usedEndLsn;
  } catch (error) {
    if (!hasCode(error, 'wal-damaged')) throw error;
    return 0n;
  }
}
