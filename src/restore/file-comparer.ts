import { readSync } from 'node:fs';
import { PgrecallError, assert } from '../errors/pgrecall-error.ts';
import { createPageKernel, type PageKernel } from '../postgres/page-kernel.ts';
import { sumBytes, summedBytes, sumsLength } from '../repository/block-sums.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { ExtentReader } from '../repository/extent-reader.ts';
import type { Extent } from '../repository/file-map.ts';
import { inBlobOrder, type FileRange } from './extent-order.ts';
import type { ComparedPart, RestoreItem } from './restore-items.ts';

const readBytes = 1_048_576;

/**
 * Finds what of files that are there differs from a backup, by reading them and the sums of their blocks in the backup
 * (repository/block-sums.ts), which have a thousandth of their size.
 */
export class FileComparer {
  readonly #reader: ExtentReader;
  readonly #kernel: PageKernel;

  constructor(cluster: ClusterRepository, reader: ExtentReader) {
    this.#reader = reader;
    this.#kernel = createPageKernel(readBytes, cluster.repository.sumKey());
  }

  /** The sums of what is compared of each item that has some, in one go: small files have theirs in the same blobs. */
  async expectedSums(items: readonly RestoreItem[]): Promise<Map<RestoreItem, Uint8Array>> {
    const slots: { readonly item: RestoreItem; readonly start: number; readonly end: number }[] = [];
    const extents: Extent[] = [];
    let end = 0;
    for (const item of items) {
      if (!item.compared?.sums) continue;
      const start = end;
      const { range, sums } = item.compared;
      end += sumsLength(range.end - range.start);
      slots.push({ item, start, end });
      const moved = start - sumsBefore(range.start);
      for (const extent of sums) extents.push({ ...extent, fileOffset: extent.fileOffset + moved });
    }
    const all = new Uint8Array(end);
    let found = 0;
    await this.#reader.read(inBlobOrder(extents), (bytes, { fileOffset }) => {
      all.set(bytes, fileOffset);
      found += bytes.length;
    });
    assert(found === end, `${found} bytes of sums where ${end} were expected`);
    return new Map(slots.map((slot) => [slot.item, all.subarray(slot.start, slot.end)]));
  }

  /** The blocks of the part that differ, those that follow each other as one range. Throws `io`. */
  differing(descriptor: number, part: ComparedPart, expected: Uint8Array | undefined, path: string): FileRange[] {
    const { range, presentBytes } = part;
    if (!expected) return range.end > range.start ? [range] : [];
    const found: FileRange[] = [];
    for (let at = range.start; at < range.end; at += readBytes) {
      const wanted = Math.min(readBytes, range.end - at);
      const present = Math.max(0, Math.min(wanted, presentBytes - at));
      const read = readFully(descriptor, this.#kernel.buffer, present, at, path);
      const sums = this.#kernel.sums(0, read);
      const right = expected.subarray(sumsBefore(at - range.start), sumsBefore(at - range.start) + sumsLength(wanted));
      if (read === wanted && Buffer.compare(sums, right) === 0) continue;
      noteDifferences(found, { at, wanted, read }, sums, right);
    }
    return found;
  }
}

/** Bytes of sums for so many bytes, whole blocks. */
function sumsBefore(bytes: number): number {
  return (bytes / summedBytes) * sumBytes;
}

function noteDifferences(
  found: FileRange[],
  run: { readonly at: number; readonly wanted: number; readonly read: number },
  sums: Uint8Array,
  right: Uint8Array,
): void {
  for (let offset = 0; offset < run.wanted; offset += summedBytes) {
    const length = Math.min(summedBytes, run.wanted - offset);
    const i = sumsBefore(offset);
    const isThere = offset + length <= run.read;
    if (isThere && sameSum(sums, right, i)) continue;
    const start = run.at + offset;
    const last = found.at(-1);
    if (last?.end === start) found[found.length - 1] = { start: last.start, end: start + length };
    else found.push({ start, end: start + length });
  }
}

function sameSum(a: Uint8Array, b: Uint8Array, at: number): boolean {
  for (let i = at; i < at + sumBytes; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

function readFully(descriptor: number, into: Uint8Array, lengthBytes: number, position: number, path: string): number {
  let done = 0;
  try {
    while (done < lengthBytes) {
      const read = readSync(descriptor, into, done, lengthBytes - done, position + done);
      if (read === 0) break;
      done += read;
    }
  } catch (error) {
    throw new PgrecallError('io', `cannot read "${path}" at byte ${position + done}`, {
      hint: 'remove the file and run this again: it is then restored whole',
      details: { path },
      cause: error,
    });
  }
  return done;
}
