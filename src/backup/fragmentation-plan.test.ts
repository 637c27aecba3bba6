import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../repository/file-map.ts';
import { packIdFromBytes } from '../repository/pack-id.ts';
import { planRewriting } from './fragmentation-plan.ts';
import { overlayExtents } from './overlay-extents.ts';

const page = 8192;
const chunk = 262_144;

/** Plays increments over one piece as the copier does it: changed pages in new blobs, then what the plan gives up. */
class Piece {
  map: Extent[] = [];
  storedPages = 0;
  readonly #lengthBytes: number;
  #increment = 0;
  #nextOffset = 0;

  constructor(pages: number) {
    this.#lengthBytes = pages * page;
    this.#store(Array.from({ length: pages }, (_, i) => i));
  }

  increment(changed: Iterable<number>): void {
    this.#store([...new Set(changed)].toSorted((a, b) => a - b));
    const again = planRewriting(this.map, this.#lengthBytes);
    this.#store(
      again.flatMap(({ fileOffset, lengthBytes }) =>
        Array.from({ length: lengthBytes / page }, (_, i) => fileOffset / page + i),
      ),
    );
  }

  #store(pages: readonly number[]): void {
    this.storedPages += pages.length;
    const pack = packIdFromBytes(Buffer.from(this.#increment.toString(16).padStart(32, '0'), 'hex'));
    this.#increment += 1;
    for (let at = 0; at < pages.length; at += chunk / page) {
      const some = pages.slice(at, at + chunk / page);
      const blob = { offset: (this.#nextOffset += 300_000), storedBytes: 9000, plainBytes: some.length * page };
      const over = some.map((number, i) => ({
        fileOffset: number * page,
        lengthBytes: page,
        pack,
        blob,
        blobOffset: i * page,
      }));
      this.map = overlayExtents(this.map, over, this.#lengthBytes);
    }
  }

  /** Bytes that a restore has to unpack for each byte of the piece, and blobs that it has to open. */
  cost(): { readonly volume: number; readonly blobs: number } {
    const blobs = new Map(this.map.map(({ pack, blob }) => [`${pack} ${blob.offset}`, blob.plainBytes]));
    const volume = [...blobs.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { volume: volume / this.#lengthBytes, blobs: blobs.size };
  }
}

describe('fragmentation', () => {
  it('is bounded after 200 increments of scattered updates, at half as much again as what changed', () => {
    const pages = 8192;
    const piece = new Piece(pages);
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) / 2 ** 24;
    };
    let changed = 0;
    for (let i = 0; i < 200; i += 1) {
      const some = new Set(Array.from({ length: pages / 50 }, () => Math.floor(random() * pages)));
      changed += some.size;
      piece.increment(some);
      assert.ok(piece.cost().volume <= 1.5, `${piece.cost().volume} after ${i} increments`);
      assert.ok(piece.cost().blobs <= 2 * 256 + 4);
    }
    assert.ok(piece.storedPages - pages < changed * 1.7, `${piece.storedPages} stored, ${changed} changed`);
  });

  it('is bounded whatever is changed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.array(fc.nat({ max: 299 }), { maxLength: 40 }), { maxLength: 60 }),
        (pages, increments) => {
          const piece = new Piece(pages);
          for (const changed of increments) {
            piece.increment(changed.map((number) => number % pages));
            const { volume, blobs } = piece.cost();
            assert.ok(volume <= Math.max(1.5, chunk / (pages * page)), `${volume} times its bytes`);
            assert.ok(blobs <= 2 * Math.ceil(pages / 32) + 4, `${blobs} blobs`);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is left alone where little has changed: nothing is stored but that', () => {
    const piece = new Piece(8192);
    for (let i = 0; i < 7; i += 1) piece.increment(Array.from({ length: 160 }, (_, k) => (k * 51 + i * 7) % 8192));
    assert.equal(piece.storedPages, 8192 + 7 * 160);
  });
});
