import { crc32cCombine } from '../bytes/crc32c.ts';
import { assert } from '../errors/pgrecall-error.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import { entryFlags } from '../repository/manifest.ts';
import { BatchSender } from './batch-sender.ts';
import { extentsOf, type Copying } from './copy-items.ts';
import { largestFirst, toPending, windowsOf, type Pending } from './copy-order.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import type { OwnerNames } from './owner-names.ts';

export interface CopyFilesOptions {
  readonly entries: Iterable<WalkedEntry>;
  readonly copying: Copying;
  readonly manifest: ManifestWriter;
  readonly owners: OwnerNames;
  /** Whether the cluster has data checksums on. */
  readonly dataChecksums: boolean;
  /** Blocks in a segment of a relation: 131,072 unless PostgreSQL was built otherwise. */
  readonly relationSegmentBlocks: number;
  readonly signal: AbortSignal;
  /** Called as bytes are done. */
  readonly onProgress: (bytes: number) => void;
}

export interface CopiedFiles {
  readonly files: number;
  readonly sizeBytes: number;
  readonly badPages: readonly { readonly path: string; readonly blocks: readonly number[] }[];
  /** Links of tablespaces, with where they lead. */
  readonly tablespaceLinks: readonly { readonly oid: number; readonly path: string }[];
}

/**
 * Copies what the walk finds, the large files of a window before its small ones, and writes the manifest in the
 * walk's order, whichever is done first. What waits to be written is bounded: one window goes to the threads, and
 * the one before it may still be waiting for its last batches.
 */
export async function copyFiles(options: CopyFilesOptions): Promise<CopiedFiles> {
  const settling = new Settling(options);
  const sender = new BatchSender(options.copying, options.onProgress);
  try {
    for (const window of windowsOf(options.entries)) {
      const pending = window.map((entry) => toPending(entry, options));
      await settling.settleBefore(sender);
      settling.expect(pending);
      for (const { pieces } of largestFirst(pending)) {
        options.signal.throwIfAborted();
        for (const piece of pieces) {
          sender.add(piece);
          await sender.whenWanted();
        }
        await settling.settleWhatIsDone();
      }
    }
    await sender.end();
    await settling.settleWhatIsDone();
  } catch (error) {
    // What goes on in the threads must have ended before its packs are thrown away.
    await sender.stop();
    throw error;
  }
  options.signal.throwIfAborted();
  return settling.copied();
}

/** Writes entries into the manifest in the order in which they were expected, as soon as those before are done. */
class Settling {
  readonly #options: CopyFilesOptions;
  /** Of the windows under way, the older first; each with how far it has got. */
  readonly #windows: { readonly pending: readonly Pending[]; next: number }[] = [];
  readonly #copied = {
    files: 0,
    sizeBytes: 0,
    badPages: [] as { path: string; blocks: number[] }[],
    tablespaceLinks: [] as { oid: number; path: string }[],
  };

  constructor(options: CopyFilesOptions) {
    this.#options = options;
  }

  expect(pending: readonly Pending[]): void {
    this.#windows.push({ pending, next: 0 });
  }

  /** Waits until at most one window is open, so that there is room for the next. */
  async settleBefore(sender: BatchSender): Promise<void> {
    await this.settleWhatIsDone();
    while (this.#windows.length > 1) {
      await sender.oneMoreDone();
      await this.settleWhatIsDone();
    }
  }

  async settleWhatIsDone(): Promise<void> {
    for (let window = this.#windows[0]; window; window = this.#windows[0]) {
      for (let one = window.pending[window.next]; one; one = window.pending[window.next]) {
        if (!one.pieces.every((piece) => piece.result)) return;
        window.next += 1;
        await this.#settle(one);
      }
      this.#windows.shift();
    }
  }

  copied(): CopiedFiles {
    assert(this.#windows.length === 0, 'files were sent to be copied and never came back');
    return this.#copied;
  }

  async #settle(pending: Pending): Promise<void> {
    const { entry } = pending;
    const joined = joinPieces(pending);
    if (!joined) return;
    const { sizeBytes, crc32c, extents, badBlocks } = joined;
    if (badBlocks.length > 0) this.#copied.badPages.push({ path: entry.path, blocks: badBlocks });
    if (entry.kind === 'file') this.#copied.files += 1;
    if (entry.target !== undefined) {
      this.#copied.tablespaceLinks.push({ oid: Number(entry.path.split('/')[1]), path: entry.target });
    }
    this.#copied.sizeBytes += sizeBytes;
    const { owners, manifest } = this.#options;
    await manifest.add({
      path: entry.path,
      kind: entry.kind,
      mode: entry.mode,
      owner: owners.user(entry.uid),
      group: owners.group(entry.gid),
      modifiedMs: entry.modifiedMs,
      sizeBytes,
      crc32c,
      extents,
      sums: [],
      flags: badBlocks.length > 0 ? entryFlags.badPageChecksums : 0,
      ...(entry.target === undefined ? {} : { target: entry.target }),
    });
  }
}

interface Joined {
  readonly sizeBytes: number;
  readonly crc32c: number;
  readonly extents: Extent[];
  readonly badBlocks: number[];
}

/**
 * One file of its pieces; `undefined` where it vanished. A file that shrank meanwhile ends where its first short
 * piece ends, as though it had been read at that moment; what was cut off is replayed from WAL.
 */
function joinPieces({ pieces }: Pending): Joined | undefined {
  const extents: Extent[] = [];
  const badBlocks: number[] = [];
  let sizeBytes = 0;
  let crc32c = 0;
  if (pieces.some((piece) => piece.result?.vanished)) return undefined;
  for (const { item, result } of pieces) {
    assert(result, 'a piece without its result');
    crc32c = sizeBytes === 0 ? result.crc32c : crc32cCombine(crc32c, result.crc32c, result.lengthBytes);
    for (const extent of extentsOf(result.runs, sizeBytes)) extents.push(extent);
    badBlocks.push(...result.badBlocks);
    sizeBytes += result.lengthBytes;
    if (result.lengthBytes < item.lengthBytes) break;
  }
  return { sizeBytes, crc32c, extents, badBlocks };
}
