import type { ChangedBlocks } from '../archive/changed-blocks.ts';
import { pageBytes } from '../postgres/page.ts';
import { parseRelationPath, type RelationFile } from '../postgres/relation-file.ts';
import { entryFlags, type StoredEntry } from '../repository/manifest.ts';
import { forkNumbers, type RelationFork } from '../wal/wal-event.ts';
import type { WalkedEntry } from './data-directory-walk.ts';

/*
 * What of a file has to be read, by what is known of changes since the reference. Contents are compared in any case:
 * what is read and found to be as it was is not stored.
 *
 *  - by WAL: of a relation's main and init fork the blocks that WAL names, and what lies beyond the reference's end. Free
 *    space maps are not fully logged, and visibility maps without block numbers: they count as other files do.
 *  - by files, and other files by WAL: untouched where it is the same file (inode and time of birth), nothing has changed it
 *    (ctime) and its size is the same. Else everything in it is compared. That pages whose LSN lies before the reference's start
 *    are as they were cannot be said: the disk may have been put back to an earlier state, and without the WAL nobody knows.
 *
 * Pages that had wrong checksums in the reference are looked at again: they may have been mended.
 */

/** How unchanged content is told. Without a reference there is nothing to compare with. */
export type Evidence =
  | { readonly kind: 'all' | 'files' | 'sums' }
  | { readonly kind: 'wal'; readonly changed: ChangedBlocks };

export interface EvidenceRules {
  readonly evidence: Evidence;
  readonly relationSegmentBlocks: number;
  /** Pages of the reference with wrong checksums: by path, numbers of blocks in the relation. */
  readonly badPages: ReadonlyMap<string, readonly number[]>;
}

export type Look =
  | { readonly kind: 'untouched' }
  | { readonly kind: 'everything' }
  /** Numbers of blocks in the file, ascending; maybe none where only its end was cut off. */
  | { readonly kind: 'blocks'; readonly blocks: Uint32Array };

const untouched: Look = { kind: 'untouched' };
const everything: Look = { kind: 'everything' };

/** `before`: the same path in the reference. */
export function lookAtFile(entry: WalkedEntry, before: StoredEntry | undefined, rules: EvidenceRules): Look {
  const { evidence } = rules;
  if (!before || evidence.kind === 'all' || evidence.kind === 'sums') return everything;
  const relation = parseRelationPath(entry.path);
  const isLogged = entry.unlogged !== true && (relation?.fork === 'main' || relation?.fork === 'init');
  if (relation && isLogged && evidence.kind === 'wal') {
    return lookByWal(entry, before, relation, evidence.changed, rules);
  }
  const wasBad = (before.flags & entryFlags.badPageChecksums) !== 0;
  return !wasBad && isSameFile(entry, before) && isUnchanged(entry, before) ? untouched : everything;
}

function isSameFile({ identity }: WalkedEntry, { identity: before }: StoredEntry): boolean {
  return (
    identity !== undefined &&
    before !== undefined &&
    identity.inode === before.inode &&
    identity.bornMicros === before.bornMicros
  );
}

/** A time of change of 0 is one that tells nothing. */
function isUnchanged(entry: WalkedEntry, before: StoredEntry): boolean {
  const changedMicros = entry.identity?.changedMicros ?? 0;
  return (
    changedMicros !== 0 && changedMicros === before.identity?.changedMicros && entry.sizeBytes === before.sizeBytes
  );
}

function lookByWal(
  entry: WalkedEntry,
  before: StoredEntry,
  relation: RelationFile,
  changed: ChangedBlocks,
  rules: EvidenceRules,
): Look {
  const { relationSegmentBlocks, badPages } = rules;
  const first = relation.segment * relationSegmentBlocks;
  const count = Math.ceil(entry.sizeBytes / pageBytes);
  const found = changed.of(forkOf(relation), first, first + relationSegmentBlocks);
  if (found?.whole === true) return everything;
  const blocks = new Set<number>();
  for (const block of found?.blocks ?? []) blocks.add(block - first);
  for (const block of badPages.get(entry.path) ?? []) blocks.add(block - first);
  // A last block that is cut, now or then, is another one when the file has another size.
  const resized = entry.sizeBytes !== before.sizeBytes;
  if (resized)
    for (let block = Math.floor(Math.min(entry.sizeBytes, before.sizeBytes) / pageBytes); block < count; block += 1)
      blocks.add(block);
  if (blocks.size === 0 && !resized) return untouched;
  return { kind: 'blocks', blocks: Uint32Array.from([...blocks].filter((block) => block < count)).toSorted() };
}

function forkOf({ tablespaceOid, databaseOid, relfilenode, fork }: RelationFile): RelationFork {
  const number = fork === 'main' ? forkNumbers.main : forkNumbers.init;
  return { spcOid: tablespaceOid, dbOid: databaseOid, relNumber: relfilenode, fork: number };
}
