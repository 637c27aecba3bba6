import type { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import { maxChunkBytes, type BlobLocation, type PackId } from './pack-id.ts';
import { headerBytes, tagBytes } from './sealed-format.ts';

/** One run of bytes of a file, and the blob that holds it. */
export interface Extent {
  readonly fileOffset: number;
  /** At least 1. */
  readonly lengthBytes: number;
  readonly pack: PackId;
  readonly blob: BlobLocation;
  /** Where the run begins in the blob's plaintext. */
  readonly blobOffset: number;
}

/*
 * A file map as bytes: a head byte for each extent, then what cannot be told from the blob before it in
 * the same pack. Four bytes for a chunk that was appended after the last one of its file.
 *
 *   bit  set                                     then follows
 *    0   another pack than the last extent's     varint: index in the manifest's table of packs
 *    4   the last blob of that pack again
 *    1   not right after that pack's last blob   varint: offset of the blob            (unless bit 4)
 *        always                                  varint: stored bytes                  (unless bit 4)
 *    3   other plain bytes than that blob        varint: plain bytes                   (unless bit 4)
 *    5   a part that goes on where the last        varint: length
 *        extent in that pack ended, or that
 *        begins another blob
 *    2   another part of the blob                varints: offset in its plaintext, length          (unless bit 5)
 *
 * File offsets need no place: each extent begins where the one before it ends, the first at 0. The blob
 * before the first one of a pack ends at 0 and has 0 plain bytes.
 */

const otherPack = 1;
const jump = 2;
const part = 4;
const otherPlain = 8;
const sameBlob = 16;
const nextPart = 32;
const allBits = 63;

/** What is known of a pack while coding: the blob that was named last. */
interface PackState {
  readonly index: number;
  last: BlobLocation;
  /** Where in that blob the extent ended. */
  end: number;
}

const nothing: BlobLocation = { offset: 0, storedBytes: 0, plainBytes: 0 };

/** Remembers the last blob of each pack, so that what follows can be told by little. */
class CodingState {
  readonly #packs = new Map<number, PackState>();
  current: PackState = { index: -1, last: nothing, end: 0 };

  select(index: number): PackState {
    let state = this.#packs.get(index);
    if (!state) {
      state = { index, last: nothing, end: 0 };
      this.#packs.set(index, state);
    }
    this.current = state;
    return state;
  }
}

/** Encodes the maps of one block of entries, or one large map. */
export class FileMapEncoder {
  readonly #state = new CodingState();
  readonly #indexOf: (pack: PackId) => number;

  constructor(indexOf: (pack: PackId) => number) {
    this.#indexOf = indexOf;
  }

  encode(extents: readonly Extent[], into: ByteWriter): void {
    for (const extent of extents) this.#encode(extent, into);
  }

  #encode({ pack, blob, blobOffset, lengthBytes }: Extent, into: ByteWriter): void {
    const index = this.#indexOf(pack);
    const changes = index !== this.#state.current.index;
    const state = changes ? this.#state.select(index) : this.#state.current;
    const { last } = state;
    const same = last.storedBytes > 0 && isSameBlob(blob, last);
    const jumps = !same && blob.offset !== last.offset + last.storedBytes;
    const plainDiffers = !same && blob.plainBytes !== last.plainBytes;
    const isPart = blobOffset !== 0 || lengthBytes !== blob.plainBytes;
    const isNext = isPart && blobOffset === (same ? state.end : 0);
    into.u8(
      (changes ? otherPack : 0) |
        (jumps ? jump : 0) |
        (isPart && !isNext ? part : 0) |
        (isNext ? nextPart : 0) |
        (plainDiffers ? otherPlain : 0) |
        (same ? sameBlob : 0),
    );
    if (changes) into.varint(index);
    if (jumps) into.varint(blob.offset);
    if (!same) into.varint(blob.storedBytes);
    if (plainDiffers) into.varint(blob.plainBytes);
    if (isPart && !isNext) into.varint(blobOffset);
    if (isPart) into.varint(lengthBytes);
    state.last = blob;
    state.end = blobOffset + lengthBytes;
  }
}

function isSameBlob(a: BlobLocation, b: BlobLocation): boolean {
  return a.offset === b.offset && a.storedBytes === b.storedBytes && a.plainBytes === b.plainBytes;
}

/** Counterpart of `FileMapEncoder`. Fails through its reader on whatever a repository of ours cannot hold. */
export class FileMapDecoder {
  readonly #state = new CodingState();
  readonly #packs: readonly PackId[];

  constructor(packs: readonly PackId[]) {
    this.#packs = packs;
  }

  /** The map of a file of `sizeBytes`, in `count` extents; or of such a part of a file from `startOffset` on. */
  decode(reader: BoundedReader, count: number, sizeBytes: number, startOffset = 0): Extent[] {
    if (count > reader.remaining) reader.fail(`a map of ${count} extents`);
    const extents: Extent[] = [];
    const endOffset = startOffset + sizeBytes;
    let fileOffset = startOffset;
    for (let left = count; left > 0; left -= 1) {
      const extent = this.#decode(reader, fileOffset);
      fileOffset += extent.lengthBytes;
      if (fileOffset > endOffset) reader.fail(`a map beyond the ${sizeBytes} bytes of its file`);
      extents.push(extent);
    }
    if (fileOffset !== endOffset) {
      reader.fail(`a map of ${fileOffset - startOffset} of the ${sizeBytes} bytes of its file`);
    }
    return extents;
  }

  #decode(reader: BoundedReader, fileOffset: number): Extent {
    const head = reader.u8();
    if (head > allBits || (head & part && head & nextPart)) reader.fail('an extent with unknown bits');
    const state = head & otherPack ? this.#state.select(reader.varint()) : this.#state.current;
    const pack = this.#packs[state.index];
    if (pack === undefined) return reader.fail('an extent in a pack that the manifest does not name');
    const blob = head & sameBlob ? state.last : decodeBlob(reader, head, state.last);
    if (blob.plainBytes === 0) reader.fail('an extent in a blob that was not named');
    const end = head & sameBlob ? state.end : 0;
    const blobOffset = head & part ? reader.varint() : head & nextPart ? end : 0;
    const lengthBytes = head & (part | nextPart) ? reader.varint() : blob.plainBytes;
    if (lengthBytes < 1 || blobOffset + lengthBytes > blob.plainBytes) reader.fail('an extent beyond its blob');
    state.last = blob;
    state.end = blobOffset + lengthBytes;
    return { fileOffset, lengthBytes, pack, blob, blobOffset };
  }
}

function decodeBlob(reader: BoundedReader, head: number, last: BlobLocation): BlobLocation {
  const offset = head & jump ? reader.varint() : last.offset + last.storedBytes;
  const storedBytes = reader.varint();
  const plainBytes = head & otherPlain ? reader.varint() : last.plainBytes;
  const possible =
    offset >= headerBytes &&
    plainBytes >= 1 &&
    plainBytes <= maxChunkBytes &&
    storedBytes > tagBytes &&
    storedBytes <= plainBytes + tagBytes &&
    Number.isSafeInteger(offset + storedBytes);
  if (!possible) reader.fail(`a blob of ${plainBytes} bytes in ${storedBytes} at byte ${offset}`);
  return { offset, storedBytes, plainBytes };
}
