import { UnderWay } from '../threads/under-way.ts';
import type { RestoredBatch, RestoreItem, Restoring } from './restore-items.ts';

const batchBytes = 33_554_432;
const batchItems = 256;

/** Sends items in batches and keeps a bounded number of them under way. */
export class ItemSender {
  readonly #restoring: Restoring;
  readonly #onDone: (done: RestoredBatch) => void;
  readonly #underWay = new UnderWay();
  #batch: RestoreItem[] = [];
  #bytes = 0;

  constructor(restoring: Restoring, onDone: (done: RestoredBatch) => void) {
    this.#restoring = restoring;
    this.#onDone = onDone;
  }

  async send(item: RestoreItem): Promise<void> {
    this.#batch.push(item);
    for (const { lengthBytes } of item.extents) this.#bytes += lengthBytes;
    if (this.#bytes < batchBytes && this.#batch.length < batchItems) return;
    this.#start();
    await this.#underWay.fewerThan(this.#restoring.parallel);
  }

  async end(): Promise<void> {
    this.#start();
    await this.#underWay.allDone();
  }

  async stop(): Promise<void> {
    await this.#underWay.allSettled();
  }

  #start(): void {
    if (this.#batch.length === 0) return;
    this.#underWay.start(this.#run(this.#batch));
    this.#batch = [];
    this.#bytes = 0;
  }

  async #run(items: readonly RestoreItem[]): Promise<void> {
    this.#onDone(await this.#restoring.restore(items));
  }
}
