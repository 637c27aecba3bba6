import { assert } from '../errors/pgrecall-error.ts';
import { UnderWay } from '../threads/under-way.ts';
import type { Copying } from './copy-items.ts';
import { weightOf, type SentPiece } from './copy-order.ts';

/** A batch to a thread: enough that messages cost nothing, little enough that memory stays small. */
const batchBytes = 33_554_432;
const batchItems = 256;

/** Gathers pieces into batches, sends them and puts each result into its piece. */
export class BatchSender {
  readonly #copying: Copying;
  readonly #onProgress: (bytes: number) => void;
  readonly #underWay = new UnderWay();
  #batch: SentPiece[] = [];
  #bytes = 0;

  constructor(copying: Copying, onProgress: (bytes: number) => void) {
    this.#copying = copying;
    this.#onProgress = onProgress;
  }

  add(piece: SentPiece): void {
    this.#batch.push(piece);
    this.#bytes += weightOf(piece.item);
    const enough = this.#copying.batchBytes ?? batchBytes;
    if (this.#bytes >= enough || this.#batch.length >= batchItems) this.#send();
  }

  /** Waits until a thread has need of more; throws what a batch threw. */
  async whenWanted(): Promise<void> {
    await this.#underWay.fewerThan(this.#copying.parallel);
  }

  /** Waits for one batch, whichever ends first; what was only gathered is sent before. */
  async oneMoreDone(): Promise<void> {
    this.#send();
    assert(this.#underWay.size > 0, 'waiting for a batch although none is under way');
    await this.#underWay.fewerThan(this.#underWay.size);
  }

  /** Sends what is left and waits for all. */
  async end(): Promise<void> {
    this.#send();
    await this.#underWay.allDone();
  }

  /** Waits until nothing is under way, whatever became of it. */
  async stop(): Promise<void> {
    await this.#underWay.allSettled();
  }

  #send(): void {
    if (this.#batch.length === 0) return;
    this.#underWay.start(this.#run(this.#batch));
    this.#batch = [];
    this.#bytes = 0;
  }

  async #run(batch: readonly SentPiece[]): Promise<void> {
    const { items } = await this.#copying.copy(batch.map((piece) => piece.item));
    batch.forEach((piece, i) => {
      const result = items[i];
      assert(result, 'a batch came back with fewer items than it had');
      piece.result = result;
      this.#onProgress(result.lengthBytes);
    });
  }
}
