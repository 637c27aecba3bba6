import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { Compression } from '../repository/compression.ts';
import type { BlobLocation, PackId } from '../repository/pack-id.ts';
import type { PackWriter } from '../repository/pack-writer.ts';

/** A pack is finished when it has this much, so that a sweep can drop and repack in moderate pieces. */
const packBytes = 1_073_741_824;

export interface StoredBlob {
  readonly pack: PackId;
  readonly blob: BlobLocation;
}

export interface FinishedPack {
  readonly id: PackId;
  readonly sizeBytes: number;
}

/** The packs that one thread writes, one after the other. */
export class PackOutput {
  readonly #cluster: ClusterRepository;
  readonly #compression: Compression;
  readonly #finished: FinishedPack[] = [];
  #pack: PackWriter | undefined;

  constructor(cluster: ClusterRepository, compression: Compression = 'pages') {
    this.#cluster = cluster;
    this.#compression = compression;
  }

  /** Done with `chunk` when it has returned. */
  async append(chunk: Uint8Array): Promise<StoredBlob> {
    const pack = (this.#pack ??= await this.#cluster.createPack({ compression: this.#compression }));
    const appended = pack.append(chunk);
    const blob = appended instanceof Promise ? await appended : appended;
    if (pack.sizeBytes >= packBytes) await this.#finishPack();
    return { pack: pack.id, blob };
  }

  /** Makes the open pack durable; gives all that were written. */
  async finish(): Promise<readonly FinishedPack[]> {
    await this.#finishPack();
    return this.#finished;
  }

  async #finishPack(): Promise<void> {
    const pack = this.#pack;
    if (!pack) return;
    this.#pack = undefined;
    await pack.finish();
    this.#finished.push({ id: pack.id, sizeBytes: pack.sizeBytes });
  }

  /** Forgets the pack that is open. */
  async abort(): Promise<void> {
    await this.#pack?.abort();
    this.#pack = undefined;
  }

  /** A backup that failed for want of space must not keep the space. */
  async discard(): Promise<void> {
    await this.abort();
    for (const { id } of this.#finished.splice(0)) await this.#cluster.deletePack(id);
  }
}
