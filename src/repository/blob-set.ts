import { assert } from '../errors/pgrecall-error.ts';
import type { BlobLocation, PackId } from './pack-id.ts';

/*
 * Blobs of one pack by their offsets, without an object for each: a pack may have a hundred thousand, and a sweep looks at
 * hundreds of packs at once. 16 bytes a blob, and as much again of room.
 */

const smallest = 64;
/** Offsets are spread by a multiplication; this is 2^32 divided by the golden ratio. */
const spread = 0x9e37_79b1;

export class BlobSet {
  #offsets = new Float64Array(smallest);
  #stored = new Uint32Array(smallest);
  #plain = new Uint32Array(smallest);
  #size = 0;
  #storedBytes = 0;

  get size(): number {
    return this.#size;
  }

  /** Of all its blobs. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Once for each blob, however often it is added. */
  add({ offset, storedBytes, plainBytes }: BlobLocation): void {
    const slot = this.#slotOf(offset);
    if (this.#offsets[slot] === offset) return;
    this.#offsets[slot] = offset;
    this.#stored[slot] = storedBytes;
    this.#plain[slot] = plainBytes;
    this.#size += 1;
    this.#storedBytes += storedBytes;
    if (this.#size * 3 > this.#offsets.length * 2) this.#grow();
  }

  /** Where the offset stands, or would. No blob begins at 0: that is an empty slot. */
  #slotOf(offset: number): number {
    const mask = this.#offsets.length - 1;
    const mixed = Math.imul((offset ^ Math.floor(offset / 0x1_0000_0000)) >>> 0, spread) >>> 0;
    for (let slot = (mixed >>> 8) & mask; ; slot = (slot + 1) & mask) {
      const there = this.#offsets[slot];
      if (there === 0 || there === offset) return slot;
    }
  }

  #grow(): void {
    const [offsets, stored, plain] = [this.#offsets, this.#stored, this.#plain];
    const room = offsets.length * 2;
    this.#offsets = new Float64Array(room);
    this.#stored = new Uint32Array(room);
    this.#plain = new Uint32Array(room);
    for (const [from, offset] of offsets.entries()) {
      if (offset === 0) continue;
      const slot = this.#slotOf(offset);
      this.#offsets[slot] = offset;
      this.#stored[slot] = stored[from] ?? 0;
      this.#plain[slot] = plain[from] ?? 0;
    }
  }

  /** In the order in which they lie in the pack. */
  *inOrder(): Generator<BlobLocation> {
    for (const offset of this.#offsets.filter((one) => one !== 0).toSorted()) {
      const slot = this.#slotOf(offset);
      yield { offset, storedBytes: this.#stored[slot] ?? 0, plainBytes: this.#plain[slot] ?? 0 };
    }
  }
}

/** Where the blobs of one pack have gone; they come in the order of their old offsets. */
export class MovedBlobs {
  readonly #from: Float64Array;
  readonly #to: Float64Array;
  readonly #packOf: Uint32Array;
  readonly #packs: PackId[] = [];
  #size = 0;

  constructor(count: number) {
    this.#from = new Float64Array(count);
    this.#to = new Float64Array(count);
    this.#packOf = new Uint32Array(count);
  }

  add(from: BlobLocation, pack: PackId, to: BlobLocation): void {
    assert(this.#size < this.#from.length, 'more blobs moved than there were');
    if (this.#packs.at(-1) !== pack) this.#packs.push(pack);
    this.#from[this.#size] = from.offset;
    this.#to[this.#size] = to.offset;
    this.#packOf[this.#size] = this.#packs.length - 1;
    this.#size += 1;
  }

  /** What has become of the blob that began at `offset`. */
  find(offset: number): { readonly pack: PackId; readonly offset: number } {
    let low = 0;
    let high = this.#size - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#from[middle] ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    const pack = this.#packs[this.#packOf[low] ?? 0];
    assert(pack !== undefined && this.#from[low] === offset, `a blob at byte ${offset} that was not moved`);
    return { pack, offset: this.#to[low] ?? 0 };
  }
}
