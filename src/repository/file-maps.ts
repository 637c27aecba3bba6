import type { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import { FileMapDecoder, FileMapEncoder } from './file-map.ts';
import { sumsRunBytes, type FileMaps } from './manifest.ts';
import type { PackId } from './pack-id.ts';

/*
 * Both maps of a file: that of its content, then that of its sums. They are coded apart, since the blobs of the one follow
 * each other and those of the other lie in between: each remembers its own last blobs.
 */

/** Encodes the maps of one block of entries, or those of one file. */
export class MapsEncoder {
  readonly #content: FileMapEncoder;
  readonly #sums: FileMapEncoder;

  /** `indexOf`: the place of a pack in the manifest's table. */
  constructor(indexOf: (pack: PackId) => number) {
    this.#content = new FileMapEncoder(indexOf);
    this.#sums = new FileMapEncoder(indexOf);
  }

  encode({ extents, sums }: FileMaps, into: ByteWriter): void {
    this.#content.encode(extents, into);
    this.#sums.encode(sums, into);
  }
}

/** What a file's maps must hold. */
export interface ExpectedMaps {
  readonly count: number;
  readonly sumsCount: number;
  readonly sizeBytes: number;
  readonly flags: number;
}

/** Counterpart of `MapsEncoder`. Fails through its reader. */
export class MapsDecoder {
  readonly #content: FileMapDecoder;
  readonly #sums: FileMapDecoder;

  constructor(packs: readonly PackId[]) {
    this.#content = new FileMapDecoder(packs);
    this.#sums = new FileMapDecoder(packs);
  }

  decode(reader: BoundedReader, { count, sumsCount, sizeBytes, flags }: ExpectedMaps): FileMaps {
    const extents = this.#content.decode(reader, count, sizeBytes);
    const sums = this.#sums.decode(reader, sumsCount, sumsCount === 0 ? 0 : sumsRunBytes(flags, count, sizeBytes));
    return { extents, sums };
  }
}
