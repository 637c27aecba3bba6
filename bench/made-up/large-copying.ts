import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { CopiedItem, CopyItem, CopyResult, Copying } from '../../src/backup/copy-items.ts';
import { chunkBytes } from '../../src/backup/copy-items.ts';
import { overlayExtents } from '../../src/backup/overlay-extents.ts';
import { packMap, unpackMap } from '../../src/backup/packed-map.ts';
import { sumsLength } from '../../src/repository/block-sums.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import { parsePackId, type BlobLocation, type PackId } from '../../src/repository/pack-id.ts';
import { headerBytes } from '../../src/repository/sealed-format.ts';
import { pageBytes } from './large-cluster.ts';

/** What pgbench's tables come to, compressed. */
const compressed = 7;
const packBytes = 1_073_741_824;
const chunkPages = chunkBytes / pageBytes;
const largestSums = 65_536;

/** Packs of which only the names and places of blobs are there. */
class MadeUpPack {
  readonly finished: { readonly id: PackId; readonly sizeBytes: number }[] = [];
  readonly #name: string;
  #number = 0;
  #end = headerBytes;
  #id: PackId;

  constructor(name: string) {
    this.#name = name;
    this.#id = this.#next();
  }

  append(plainBytes: number, storedBytes: number): { readonly pack: PackId; readonly blob: BlobLocation } {
    if (this.#end + storedBytes > packBytes) this.finish();
    const blob = { offset: this.#end, storedBytes, plainBytes };
    this.#end += storedBytes;
    return { pack: this.#id, blob };
  }

  finish(): void {
    if (this.#end > headerBytes) this.finished.push({ id: this.#id, sizeBytes: this.#end });
    this.#end = headerBytes;
    this.#id = this.#next();
  }

  #next(): PackId {
    this.#number += 1;
    return parsePackId(hash('sha256', `${this.#name} ${this.#number}`).slice(0, 32));
  }
}

/**
 * Copies nothing and answers as threads would: what was to be read has changed and is stored, in chunks, or page by page
 * in blobs of up to 32 scattered pages. What goes to threads and comes back is cloned, as it would be.
 */
export class LargeCopying implements Copying {
  readonly parallel = 4;
  readonly #content: MadeUpPack;
  readonly #sums: MadeUpPack;
  #blobs = 0;
  #sumsLeft = 0;
  #sumsBlob: { readonly pack: PackId; readonly blob: BlobLocation };

  constructor(name: string) {
    this.#content = new MadeUpPack(`${name} content`);
    this.#sums = new MadeUpPack(`${name} sums`);
    this.#sumsBlob = this.#newSums(largestSums);
  }

  get packs(): readonly { readonly id: PackId; readonly sizeBytes: number }[] {
    return [...this.#content.finished, ...this.#sums.finished];
  }

  async copy(items: readonly CopyItem[]): Promise<CopyResult> {
    const sent = structuredClone(items);
    // Answers of threads come as events, between which memory is given back.
    await setImmediate();
    return structuredClone({ items: sent.map((item) => this.#copy(item)), packs: [] });
  }

  #copy({ look, lengthBytes, before }: CopyItem): CopiedItem {
    const blocks = look.kind === 'blocks' ? look.blocks : undefined;
    const stored = blocks ? this.#pages(blocks, lengthBytes) : this.#chunks(lengthBytes);
    const base = before ? unpackMap(before.content, before.lengthBytes) : [];
    const pages = blocks?.length ?? Math.ceil(lengthBytes / pageBytes);
    return {
      lengthBytes,
      vanished: false,
      crc32c: 1,
      beforeCrc32c: before && 2,
      content: packMap(overlayExtents(base, stored, lengthBytes)),
      sums: packMap([this.#sumsOf(sumsLength(lengthBytes))]),
      badBlocks: [],
      pagesRead: pages,
      pagesStored: pages,
      bytesRead: pages * pageBytes,
    };
  }

  #chunks(lengthBytes: number): Extent[] {
    const extents: Extent[] = [];
    for (let fileOffset = 0; fileOffset < lengthBytes; fileOffset += chunkBytes) {
      const length = Math.min(chunkBytes, lengthBytes - fileOffset);
      const place = this.#content.append(length, this.#storedBytes(length));
      extents.push({ fileOffset, lengthBytes: length, blobOffset: 0, ...place });
    }
    return extents;
  }

  #pages(blocks: Uint32Array, lengthBytes: number): Extent[] {
    const extents: Extent[] = [];
    for (let at = 0; at < blocks.length; at += chunkPages) {
      const some = blocks.subarray(at, at + chunkPages);
      const plainBytes = some.length * pageBytes;
      const place = this.#content.append(plainBytes, this.#storedBytes(plainBytes));
      for (const [i, block] of some.entries()) {
        const fileOffset = block * pageBytes;
        const length = Math.min(pageBytes, lengthBytes - fileOffset);
        extents.push({ fileOffset, lengthBytes: length, blobOffset: i * pageBytes, ...place });
      }
    }
    return extents;
  }

  /** No two blobs are alike, so that maps do not compress better than those of real ones. */
  #storedBytes(plainBytes: number): number {
    this.#blobs += 1;
    return Math.ceil((plainBytes / compressed) * (0.75 + (Math.imul(this.#blobs, 2_654_435_761) >>> 0) / 2 ** 33));
  }

  /** Sums of small files share blobs. */
  #sumsOf(lengthBytes: number): Extent {
    if (this.#sumsLeft < lengthBytes) {
      this.#sumsBlob = this.#newSums(largestSums);
      this.#sumsLeft = largestSums;
    }
    const blobOffset = largestSums - this.#sumsLeft;
    this.#sumsLeft -= lengthBytes;
    return { fileOffset: 0, lengthBytes, blobOffset, ...this.#sumsBlob };
  }

  #newSums(plainBytes: number): { readonly pack: PackId; readonly blob: BlobLocation } {
    return this.#sums.append(plainBytes, plainBytes - 100);
  }

  async finish(): Promise<CopyResult[]> {
    this.#content.finish();
    this.#sums.finish();
    return [{ items: [], packs: [...this.packs] }];
  }

  async discard(): Promise<void> {}

  async close(): Promise<void> {}
}
