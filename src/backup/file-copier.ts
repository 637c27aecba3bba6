import type { Lsn } from '../postgres/lsn.ts';
import type { PageKernel } from '../postgres/page-kernel.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { CopiedItem, CopyItem, CopyResult, CopyTask } from './copy-items.ts';
import { PackOutput } from './pack-output.ts';
import { PieceCopier } from './piece-copier.ts';
import { SumsPacker } from './sums-packer.ts';

/** What one thread does for a backup: copies pieces of files into packs of its own. */
export class FileCopier {
  readonly #output: PackOutput;
  readonly #sums: SumsPacker;
  readonly #reader: ExtentReader;
  readonly #pieces: PieceCopier;

  /** Pages at or after `startLsn` are not verified: they may be half written, and WAL replaces them. */
  constructor(cluster: ClusterRepository, kernel: PageKernel, startLsn: Lsn) {
    this.#output = new PackOutput(cluster);
    this.#sums = new SumsPacker(this.#output);
    this.#reader = new ExtentReader(cluster);
    const [output, sums, reader] = [this.#output, this.#sums, this.#reader];
    this.#pieces = new PieceCopier({ kernel, startLsn, output, sums, reader });
  }

  async handle(task: CopyTask): Promise<CopyResult> {
    if ('finish' in task) {
      await this.#reader.close();
      return { items: [], packs: await this.#output.finish() };
    }
    if ('discard' in task) {
      await this.#reader.close();
      await this.#output.discard();
      return { items: [], packs: [] };
    }
    return { items: await this.#copy(task.items), packs: [] };
  }

  async #copy(items: readonly CopyItem[]): Promise<CopiedItem[]> {
    const copied: (() => CopiedItem)[] = [];
    for (const item of items) copied.push(await this.#pieces.copy(item));
    await this.#sums.flush();
    return copied.map((result) => result());
  }

  /** Forgets the pack that is open. */
  async abort(): Promise<void> {
    await this.#reader.close();
    await this.#output.abort();
  }
}
