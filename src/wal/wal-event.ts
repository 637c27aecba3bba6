import type { Lsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';

/** A relation's files: tablespace, database (0 = shared) and file number, as in WAL (RelFileNode, since 16 RelFileLocator). */
export interface RelationLocator {
  readonly spcOid: number;
  readonly dbOid: number;
  readonly relNumber: number;
}

/** One fork of a relation: 0 main, 1 free space map, 2 visibility map, 3 init. */
export interface RelationFork extends RelationLocator {
  readonly fork: number;
}

export const forkNumbers = { main: 0, freeSpaceMap: 1, visibilityMap: 2, init: 3 } as const;

export type WalLevel = 'minimal' | 'replica' | 'logical';

/**
 * What WAL says besides blocks and commits. `lsn` is where the record starts; `time` is in microseconds
 * since 2000-01-01 UTC.
 */
export type WalEvent =
  /** Before 17 it does not tell the level. */
  | {
      readonly kind: 'checkpoint';
      readonly lsn: Lsn;
      readonly shutdown: boolean;
      readonly redoLsn: Lsn;
      readonly timeline: Timeline;
      readonly previousTimeline: Timeline;
      readonly walLevel: WalLevel | undefined;
    }
  /** 17 and newer: where an online checkpoint's redo begins. */
  | { readonly kind: 'checkpoint-redo'; readonly lsn: Lsn; readonly walLevel: WalLevel }
  /** Before 17 it does not tell the level. */
  | {
      readonly kind: 'end-of-recovery';
      readonly lsn: Lsn;
      readonly time: bigint;
      readonly timeline: Timeline;
      readonly previousTimeline: Timeline;
      readonly walLevel: WalLevel | undefined;
    }
  | { readonly kind: 'parameter-change'; readonly lsn: Lsn; readonly walLevel: WalLevel }
  | { readonly kind: 'full-page-writes'; readonly lsn: Lsn; readonly enabled: boolean }
  /** An online backup that began at `startLsn` ended here. */
  | { readonly kind: 'backup-end'; readonly lsn: Lsn; readonly startLsn: Lsn }
  | { readonly kind: 'switch'; readonly lsn: Lsn }
  /** The record at `overwrittenLsn` was never finished and does not count. */
  | { readonly kind: 'overwrite-contrecord'; readonly lsn: Lsn; readonly overwrittenLsn: Lsn; readonly time: bigint }
  | { readonly kind: 'prepare'; readonly lsn: Lsn; readonly xid: number; readonly time: bigint }
  | { readonly kind: 'relation-create'; readonly lsn: Lsn; readonly relation: RelationFork }
  /** Cut to `blocks` blocks of the main fork; the maps accordingly. */
  | {
      readonly kind: 'relation-truncate';
      readonly lsn: Lsn;
      readonly relation: RelationLocator;
      readonly blocks: number;
      readonly forks: readonly number[];
    }
  /** Files removed by the commit or the abort of `xid`. */
  | {
      readonly kind: 'relation-drop';
      readonly lsn: Lsn;
      readonly xid: number;
      readonly relations: readonly RelationLocator[];
    }
  | {
      readonly kind: 'database-create';
      readonly lsn: Lsn;
      readonly strategy: 'file-copy' | 'wal-log';
      readonly dbOid: number;
      readonly spcOid: number;
    }
  | {
      readonly kind: 'database-drop';
      readonly lsn: Lsn;
      readonly dbOid: number;
      readonly spcOids: readonly number[];
    }
  | { readonly kind: 'tablespace-create'; readonly lsn: Lsn; readonly spcOid: number; readonly path: string }
  | { readonly kind: 'tablespace-drop'; readonly lsn: Lsn; readonly spcOid: number }
  /** A record changed relation files in a way that its block references do not tell (an extension's resource manager). */
  | { readonly kind: 'untracked-change'; readonly lsn: Lsn; readonly resourceManager: number };
