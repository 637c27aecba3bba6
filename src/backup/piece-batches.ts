import { assert } from '../errors/pgrecall-error.ts';
import { UnderWay } from '../threads/under-way.ts';
import type { Copying } from './copy-items.ts';
import type { SentPiece } from './copy-order.ts';

/** Pieces of files that come over a connection: as large as a batch, so that memory is bounded. */
export const receivedPieceBytes = 8_388_608;

const batchItems = 256;

/** A piece whose bytes are being gathered. */
export interface Filling {
  readonly piece: SentPiece;
  /** Bytes that are still to come. */
  readonly left: number;
  /** Takes as many as belong to it; says how many. */
  readonly take: (bytes: Uint8Array) => number;
}

interface Batch<Owner> {
  readonly buffer: SharedArrayBuffer;
  readonly pieces: { readonly piece: SentPiece; readonly owner: Owner }[];
  used: number;
}

/**
 * Gathers pieces in memory that is shared with the threads, one buffer of 8 MiB for each batch that keeps them busy and one
 * that is being filled. Where all are under way, nobody reads the connection, and the server waits.
 */
export class PieceBatches<Owner> {
  readonly #copying: Copying;
  readonly #copied: (owner: Owner) => Promise<void>;
  readonly #underWay = new UnderWay();
  readonly #free: SharedArrayBuffer[] = [];
  #made = 0;
  #batch: Batch<Owner> | undefined;

  /** `copied` is called for each piece that is, with its owner. */
  constructor(copying: Copying, copied: (owner: Owner) => Promise<void>) {
    this.#copying = copying;
    this.#copied = copied;
  }

  /** Makes room for a piece. The one before must be whole. */
  async add(
    { item }: SentPiece,
    of: { readonly lengthBytes: number; readonly pages: Uint32Array | undefined; readonly owner: Owner },
  ): Promise<Filling> {
    const { lengthBytes, pages, owner } = of;
    const batch = await this.#batchFor(lengthBytes);
    const offset = batch.used;
    const memory = { buffer: batch.buffer, offset, ...(pages ? { pages } : {}) };
    const piece: SentPiece = { item: { ...item, toEnd: false, memory }, result: undefined };
    batch.used += lengthBytes;
    batch.pieces.push({ piece, owner });
    const room = new Uint8Array(batch.buffer, offset, lengthBytes);
    let filled = 0;
    return {
      piece,
      get left() {
        return lengthBytes - filled;
      },
      take: (bytes) => {
        const taken = bytes.subarray(0, lengthBytes - filled);
        room.set(taken, filled);
        filled += taken.length;
        return taken.length;
      },
    };
  }

  /** Waits until all are copied; throws what a batch threw. */
  async finish(): Promise<void> {
    await this.#send();
    await this.#underWay.allDone();
  }

  /** Waits until nothing is under way, whatever became of it. */
  async stop(): Promise<void> {
    await this.#underWay.allSettled();
  }

  async #batchFor(lengthBytes: number): Promise<Batch<Owner>> {
    assert(lengthBytes <= receivedPieceBytes, `a piece of ${lengthBytes} bytes`);
    const open = this.#batch;
    if (open && open.used + lengthBytes <= receivedPieceBytes && open.pieces.length < batchItems) return open;
    await this.#send();
    const batch = { buffer: await this.#buffer(), pieces: [], used: 0 };
    this.#batch = batch;
    return batch;
  }

  async #buffer(): Promise<SharedArrayBuffer> {
    for (;;) {
      const free = this.#free.pop();
      if (free) return free;
      if (this.#made <= this.#copying.parallel) {
        this.#made += 1;
        return new SharedArrayBuffer(receivedPieceBytes);
      }
      await this.#underWay.fewerThan(this.#underWay.size);
    }
  }

  async #send(): Promise<void> {
    const batch = this.#batch;
    this.#batch = undefined;
    if (!batch || batch.pieces.length === 0) return;
    await this.#underWay.fewerThan(this.#copying.parallel);
    this.#underWay.start(this.#run(batch));
  }

  async #run({ buffer, pieces }: Batch<Owner>): Promise<void> {
    const { items } = await this.#copying.copy(pieces.map(({ piece }) => piece.item));
    this.#free.push(buffer);
    for (const [i, { piece, owner }] of pieces.entries()) {
      const result = items[i];
      assert(result, 'a batch came back with fewer items than it had');
      piece.result = result;
      await this.#copied(owner);
    }
  }
}
