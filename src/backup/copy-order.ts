import { pageBytes } from '../postgres/page.ts';
import { parseRelationPath } from '../postgres/relation-file.ts';
import type { CopiedItem, CopyItem } from './copy-items.ts';
import type { WalkedEntry } from './data-directory-walk.ts';

/*
 * In which order files go to the threads. Largest first, so that no thread is left alone with a large file at the
 * end; but only within a window of the walk, so that neither millions of entries nor the file maps of all that is
 * copied have to be held until the first entry in the manifest's order is done.
 */

/** Large files go to the threads in pieces of this size, so that the last one does not keep all waiting. */
const pieceBytes = 67_108_864;

const windowEntries = 65_536;
const windowBytes = 1_099_511_627_776;

/** Files below this stay in the walk's order, which is that of their directories. */
const largeBytes = 1_048_576;

/** A walked entry and its pieces, in order; no pieces where there is nothing to read. */
export interface Pending {
  readonly entry: WalkedEntry;
  readonly pieces: readonly Piece[];
}

/** An item that was sent, and its result once there is one. */
export interface Piece {
  readonly item: CopyItem;
  result: CopiedItem | undefined;
}

export interface RelationRules {
  readonly dataChecksums: boolean;
  readonly relationSegmentBlocks: number;
}

export function* windowsOf(entries: Iterable<WalkedEntry>): Generator<WalkedEntry[]> {
  let window: WalkedEntry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    window.push(entry);
    bytes += entry.sizeBytes;
    if (window.length < windowEntries && bytes < windowBytes) continue;
    yield window;
    window = [];
    bytes = 0;
  }
  yield window;
}

export function largestFirst(pending: readonly Pending[]): readonly Pending[] {
  const rank = ({ entry }: Pending): number => (entry.sizeBytes < largeBytes ? 0 : entry.sizeBytes);
  return pending.toSorted((a, b) => rank(b) - rank(a));
}

/**
 * The pieces of an entry. A relation is read as far as it went when it was found: what came after is in WAL. Any
 * other file is read to its end, since nothing repairs a configuration file that is cut.
 */
export function toPending(entry: WalkedEntry, rules: RelationRules): Pending {
  if (entry.kind !== 'file') return { entry, pieces: [] };
  const relation = parseRelationPath(entry.path);
  const firstBlock = relation && rules.dataChecksums ? relation.segment * rules.relationSegmentBlocks : undefined;
  const pieces: Piece[] = [];
  const last = Math.max(relation ? 0 : 1, Math.ceil(entry.sizeBytes / pieceBytes)) - 1;
  for (let i = 0; i <= last; i += 1) {
    const offset = i * pieceBytes;
    const item = {
      absolutePath: entry.absolutePath,
      offset,
      lengthBytes: Math.min(pieceBytes, entry.sizeBytes - offset),
      toEnd: relation === undefined && i === last,
      firstBlock: firstBlock === undefined ? undefined : firstBlock + offset / pageBytes,
    };
    pieces.push({ item, result: undefined });
  }
  return { entry, pieces };
}
