import { assert } from '../errors/pgrecall-error.ts';
import type { Extent } from '../repository/file-map.ts';
import { entryFlags } from '../repository/manifest.ts';
import type { BlobLocation, PackId } from '../repository/pack-id.ts';
import type { RepositoryAccess } from '../repository/repository.ts';
import { WorkerPool, workerModule } from '../threads/worker-pool.ts';
import type { KnownChunks } from './known-chunks.ts';
import type { StoredStream, StoreResult, StoreTask, Storing, StreamResult } from './store-items.ts';
import type { StoreWorkerData } from './store-worker.ts';

/** A chunk that an earlier dump has stored. */
export interface StoredChunk {
  readonly pack: PackId;
  readonly blob: BlobLocation;
}

/** What is known of earlier dumps. */
export interface EarlierChunks {
  readonly known: KnownChunks;
  /** By their numbers. */
  readonly chunks: readonly StoredChunk[];
}

export interface ThreadsOptions {
  readonly access: RepositoryAccess;
  readonly cluster: string;
  readonly jobs: number;
  readonly onProgress: (bytes: number) => void;
}

const progressMs = 250;

/** Stores with up to `jobs` threads, each of which opens the repository for itself, and stores one stream at a time. */
export function storeInThreads(earlier: EarlierChunks, { access, cluster, jobs, onProgress }: ThreadsOptions): Storing {
  const progress = new SharedArrayBuffer(8);
  const pool = new WorkerPool<StoreTask, StoreResult>({
    module: workerModule('store-worker', import.meta.url),
    size: jobs,
    workerData: { access, cluster, known: earlier.known.memory, progress } satisfies StoreWorkerData,
    // One is needed for certain, and takes a while to start.
    asNeeded: jobs > 1,
  });
  const taken = new BigInt64Array(progress);
  const timer = setInterval(() => onProgress(Number(Atomics.exchange(taken, 0, 0n))), progressMs);
  return storingBy(earlier, jobs, {
    run: async (task) => pool.run(task),
    onEach: async (task) => pool.runOnEach(task),
    close: async () => {
      clearInterval(timer);
      await pool.close();
    },
  });
}

interface Doing {
  readonly run: (task: StoreTask) => Promise<StoreResult>;
  readonly onEach: (task: StoreTask) => Promise<StoreResult[]>;
  readonly close: () => Promise<void>;
}

function storingBy(earlier: EarlierChunks, parallel: number, { run, onEach, close }: Doing): Storing {
  return {
    parallel,
    store: async (item) => {
      const result = await run({ item });
      assert('stream' in result, 'a stream that was answered otherwise');
      return mapStream(result.stream, earlier);
    },
    finish: async () => (await onEach({ finish: true })).flatMap((result) => ('packs' in result ? result.packs : [])),
    discard: async () => {
      await onEach({ discard: true });
    },
    close,
  };
}

function mapStream({ sizeBytes, crc32c, known, stored, sums }: StreamResult, earlier: EarlierChunks): StoredStream {
  const extents: Extent[] = [];
  const fresh = stored.values();
  let fileOffset = 0;
  for (const number of known) {
    const chunk = number < 0 ? fresh.next().value : earlier.chunks[number];
    assert(chunk, 'a chunk that is nowhere');
    const { pack, blob } = chunk;
    extents.push({ fileOffset, lengthBytes: blob.plainBytes, pack, blob, blobOffset: 0 });
    fileOffset += blob.plainBytes;
  }
  assert(fileOffset === sizeBytes, `a stream of ${sizeBytes} bytes in chunks of ${fileOffset}`);
  return { sizeBytes, crc32c, extents, sums, flags: entryFlags.chunkDigests };
}
