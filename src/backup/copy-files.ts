import { assert } from '../errors/pgrecall-error.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { BatchSender } from './batch-sender.ts';
import type { Copying } from './copy-items.ts';
import { divide, largestFirst, usualPieceBytes, windowsOf, type Pending } from './copy-order.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import { joinPieces, type JoinedFile } from './join-pieces.ts';
import { lookAtFile, type Evidence, type EvidenceRules } from './look-at-file.ts';
import type { OwnerNames } from './owner-names.ts';
import { walkBeside, type BesideEntry } from './walk-beside.ts';

export interface CopyFilesOptions {
  readonly entries: Iterable<WalkedEntry>;
  readonly copying: Copying;
  readonly manifest: ManifestWriter;
  readonly owners: OwnerNames;
  /** Whether the cluster has data checksums on. */
  readonly dataChecksums: boolean;
  /** Blocks in a segment of a relation: 131,072 unless PostgreSQL was built otherwise. */
  readonly relationSegmentBlocks: number;
  /** What the copy builds on. */
  readonly reference?: CopyReference | undefined;
  /** 64 MiB unless a test wants others. */
  readonly pieceBytes?: number;
  readonly signal: AbortSignal;
  /** Called as bytes are done. */
  readonly onProgress: (bytes: number) => void;
}

/** A backup whose content is named again where it is unchanged. */
export interface CopyReference {
  /** Of its manifest. */
  readonly entries: AsyncIterable<StoredEntry>;
  readonly evidence: Evidence;
  /** Its pages with wrong checksums: by path, numbers of blocks in the relation. */
  readonly badPages: ReadonlyMap<string, readonly number[]>;
}

export interface CopiedFiles {
  readonly files: number;
  readonly sizeBytes: number;
  readonly badPages: readonly { readonly path: string; readonly blocks: readonly number[] }[];
  /** Links of tablespaces, with where they lead. */
  readonly tablespaceLinks: readonly { readonly oid: number; readonly path: string }[];
  /** Pages are 8 KiB of any file. */
  readonly pagesRead: number;
  readonly pagesStored: number;
  readonly bytesRead: number;
}

/**
 * Copies what the walk finds, the large files of a window before its small ones, and writes the manifest in the
 * walk's order, whichever is done first. What waits to be written is bounded: one window goes to the threads, and
 * the one before it may still be waiting for its last batches. Files that are known to be as they were go to no thread.
 */
export async function copyFiles(options: CopyFilesOptions): Promise<CopiedFiles> {
  const { reference, entries, signal } = options;
  const rules: EvidenceRules = {
    evidence: reference?.evidence ?? { kind: 'all' },
    badPages: reference?.badPages ?? new Map(),
    relationSegmentBlocks: options.relationSegmentBlocks,
  };
  const settling = new Settling(options);
  const sender = new BatchSender(options.copying, options.onProgress);
  try {
    for await (const window of windowsOf(walkBeside(entries, reference?.entries))) {
      const pending = window.map((beside) => toPending(beside, rules));
      await settling.settleBefore(sender);
      settling.expect(pending);
      for (const one of largestFirst(pending)) {
        signal.throwIfAborted();
        await send(one, sender, options);
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
  signal.throwIfAborted();
  return settling.copied();
}

function toPending({ entry, before }: BesideEntry, rules: EvidenceRules): Pending {
  const look = lookAtFile(entry, before, rules);
  const nothingToRead = entry.kind !== 'file' || look.kind === 'untouched';
  return { entry, before, look, pieces: nothingToRead ? [] : undefined };
}

async function send(pending: Pending, sender: BatchSender, options: CopyFilesOptions): Promise<void> {
  if (pending.look.kind === 'untouched') options.onProgress(pending.entry.sizeBytes);
  if (pending.pieces) return;
  pending.pieces = await divide(pending, { ...options, pieceBytes: options.pieceBytes ?? usualPieceBytes });
  for (const piece of pending.pieces) {
    if (piece.item) {
      sender.add(piece);
      await sender.whenWanted();
    } else {
      options.onProgress(piece.before.lengthBytes);
    }
  }
}

/** Writes entries into the manifest in the order in which they were expected, as soon as those before are done. */
class Settling {
  readonly #options: CopyFilesOptions;
  /** Of the windows under way, the older first; each with how far it has got. */
  readonly #windows: { readonly pending: readonly Pending[]; next: number }[] = [];
  readonly #copied = {
    files: 0,
    sizeBytes: 0,
    badPages: [] as { path: string; blocks: readonly number[] }[],
    tablespaceLinks: [] as { oid: number; path: string }[],
    pagesRead: 0,
    pagesStored: 0,
    bytesRead: 0,
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
        if (one.pieces?.every(({ item, ...piece }) => !item || ('result' in piece && piece.result)) !== true) return;
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
    this.#count(pending);
    const file = entry.kind === 'file' ? await this.#fileOf(pending) : nothing;
    if (!file) return;
    const { sizeBytes, crc32c, extents, sums, flags, badBlocks } = file;
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
      sums,
      flags,
      ...(entry.target === undefined ? {} : { target: entry.target }),
      ...(entry.identity === undefined ? {} : { identity: entry.identity }),
    });
  }

  /** As it is in the backup; `undefined` where it vanished. */
  async #fileOf(pending: Pending): Promise<JoinedFile | undefined> {
    const { before, look } = pending;
    const { copying, pieceBytes = usualPieceBytes } = this.#options;
    if (look.kind !== 'untouched' || !before) return joinPieces(pending, pieceBytes, copying);
    const { sizeBytes, crc32c } = before;
    return { ...(await before.loadMaps()), sizeBytes, crc32c, flags: before.flags, badBlocks: [] };
  }

  #count({ pieces }: Pending): void {
    for (const piece of pieces ?? []) {
      if (!piece.item) continue;
      this.#copied.pagesRead += piece.result?.pagesRead ?? 0;
      this.#copied.pagesStored += piece.result?.pagesStored ?? 0;
      this.#copied.bytesRead += piece.result?.bytesRead ?? 0;
    }
  }
}

const nothing: JoinedFile = { sizeBytes: 0, crc32c: 0, extents: [], sums: [], flags: 0, badBlocks: [] };
