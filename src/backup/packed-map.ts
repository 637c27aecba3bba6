import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { FileMapDecoder, FileMapEncoder, type Extent } from '../repository/file-map.ts';
import type { PackId } from '../repository/pack-id.ts';

/**
 * A file map as it goes to a thread and back, and waits to be written: some bytes an extent where an object takes a
 * hundred, and cloning it takes microseconds.
 */
export interface PackedMap {
  readonly packs: readonly PackId[];
  readonly count: number;
  readonly bytes: Uint8Array;
}

export const emptyMap: PackedMap = { packs: [], count: 0, bytes: new Uint8Array(0) };

/** Of a run of extents without gaps; where it begins in the file is for `unpackMap` to say. */
export function packMap(extents: readonly Extent[]): PackedMap {
  if (extents.length === 0) return emptyMap;
  const packs = new Map<PackId, number>();
  const into = new ByteWriter(extents.length * 5 + 32);
  const indexOf = (pack: PackId): number => {
    let index = packs.get(pack);
    if (index === undefined) {
      index = packs.size;
      packs.set(pack, index);
    }
    return index;
  };
  new FileMapEncoder(indexOf).encode(extents, into);
  return { packs: [...packs.keys()], count: extents.length, bytes: Uint8Array.from(into.view()) };
}

/** `lengthBytes`: of what is mapped. The first extent has the offset `start`. */
export function unpackMap({ packs, count, bytes }: PackedMap, lengthBytes: number, start = 0): Extent[] {
  const reader = new BoundedReader(bytes, 'packed map');
  return new FileMapDecoder(packs).decode(reader, count, lengthBytes, start);
}
