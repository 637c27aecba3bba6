import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { MapsDecoder, MapsEncoder } from '../repository/file-maps.ts';
import { EntryDecoder, EntryEncoder, EntryOrder } from '../repository/manifest-entry-codec.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import type { PackId } from '../repository/pack-id.ts';
import { encodePath } from '../repository/path-text.ts';

/*
 * Entries that come in any order and have to go into a manifest in the order of their paths. They wait as bytes, one behind
 * the other in large buffers: some 115 for a file of one chunk, and five for each further 256 KiB, where objects would take ten
 * times as much. A million files were sorted in 320 MB.
 *
 *   u16   bytes of the path; the path
 *   f64   bytes of the file as it came; u32: their CRC-32C
 *   the entry, as a manifest has it (manifest-entry-codec.ts)
 */

const shelfBytes = 4_194_304;
const cameBytes = 12;

/** As it came over the connection, which for an increment is not what the file is. */
export interface CameAs {
  readonly sizeBytes: number;
  readonly crc32c: number;
}

export class EntryShelf {
  readonly #full: Buffer[] = [];
  #open = new ByteWriter(shelfBytes + 65_536);
  /** Of each entry, the number of its buffer times 2^32, and where it begins there. */
  #places: Float64Array = new Float64Array(1024);
  #count = 0;
  #sorted = true;
  readonly #packs: PackId[] = [];
  readonly #packNumbers = new Map<PackId, number>();

  get count(): number {
    return this.#count;
  }

  /** What it takes, about. */
  get sizeBytes(): number {
    return this.#full.reduce((sum, { length }) => sum + length, this.#open.length) + this.#places.byteLength;
  }

  readonly #indexOf = (pack: PackId): number => {
    let index = this.#packNumbers.get(pack);
    if (index === undefined) {
      index = this.#packs.length;
      this.#packNumbers.set(pack, index);
      this.#packs.push(pack);
    }
    return index;
  };

  add(entry: ManifestEntry, came: CameAs): void {
    const into = this.#open;
    const path = encodePath(entry.path);
    this.#note(this.#full.length * 2 ** 32 + into.length);
    const size = Buffer.alloc(8);
    size.writeDoubleLE(came.sizeBytes);
    into.u16(path.length).bytes(path).bytes(size).u32(came.crc32c);
    const { extents, sums } = entry;
    new EntryEncoder(into, new MapsEncoder(this.#indexOf)).encode(entry, path, { extents, sums });
    if (into.length < shelfBytes) return;
    this.#full.push(into.finish());
    this.#open = new ByteWriter(shelfBytes + 65_536);
  }

  #note(place: number): void {
    if (this.#count === this.#places.length) {
      const grown = new Float64Array(this.#count * 2);
      grown.set(this.#places);
      this.#places = grown;
    }
    this.#places[this.#count] = place;
    this.#count += 1;
    this.#sorted = false;
  }

  /** Every entry, in the order of the paths; nothing may be added meanwhile. */
  *entries(): Generator<ManifestEntry> {
    this.#sort();
    for (let i = 0; i < this.#count; i += 1) yield this.#decode(this.#places[i] ?? 0);
  }

  /** How the file of that path came; `undefined` where there is none. */
  cameAs(path: string): CameAs | undefined {
    this.#sort();
    const wanted = encodePath(path);
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const place = this.#places[middle] ?? 0;
      const { bytes, at, length } = this.#pathAt(place);
      const order = compareAt(bytes, at, length, wanted, 0, wanted.length);
      if (order === 0) {
        const view = new DataView(bytes.buffer, bytes.byteOffset + at + length, cameBytes);
        return { sizeBytes: view.getFloat64(0, true), crc32c: view.getUint32(8, true) };
      }
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  #sort(): void {
    if (this.#sorted) return;
    // What is still open is looked at where it is.
    this.#full.push(this.#open.finish());
    this.#open = new ByteWriter(shelfBytes + 65_536);
    this.#places = this.#places.slice(0, this.#count).toSorted((a, b) => this.#compare(a, b));
    this.#sorted = true;
  }

  #compare(a: number, b: number): number {
    const [one, other] = [this.#pathAt(a), this.#pathAt(b)];
    return compareAt(one.bytes, one.at, one.length, other.bytes, other.at, other.length);
  }

  #pathAt(place: number): { readonly bytes: Buffer; readonly at: number; readonly length: number } {
    const bytes = this.#full[Math.floor(place / 2 ** 32)] ?? Buffer.alloc(2);
    const at = place % 2 ** 32;
    return { bytes, at: at + 2, length: bytes.readUInt16LE(at) };
  }

  #decode(place: number): ManifestEntry {
    const { bytes, at, length } = this.#pathAt(place);
    const reader = new BoundedReader(bytes, 'an entry that waits', at + length + cameBytes);
    const decoder = new EntryDecoder(reader, new MapsDecoder(this.#packs), new EntryOrder());
    const { map, ...entry } = decoder.decode();
    return 'blob' in map ? reader.fail('a map that is elsewhere') : { ...entry, ...map };
  }
}

const slash = 0x2f;

/** As comparePaths does it, without making views. */
function compareAt(a: Buffer, aAt: number, aLength: number, b: Uint8Array, bAt: number, bLength: number): number {
  const shorter = Math.min(aLength, bLength);
  for (let i = 0; i < shorter; i += 1) {
    const x = a[aAt + i]!;
    const y = b[bAt + i]!;
    if (x !== y) return (x === slash ? 0 : x) - (y === slash ? 0 : y);
  }
  return aLength - bLength;
}
