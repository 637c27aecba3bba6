import type { Lsn } from '../postgres/lsn.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { joinRecord } from '../wal/join-record.ts';
import type { WalEvent } from '../wal/wal-event.ts';
import { runsOf, type PathPart, type ReplayedTablespace } from './restore-plan.ts';
import type { SearchedSegment, SearchedWal } from './searched-wal.ts';

/**
 * The tablespaces that were made between two positions. Replay makes them again (commands/tablespace.c, tblspc_redo),
 * at the very place that WAL names, and takes a directory that is there for its own: beside the server that has lost
 * nothing, recovery would write into its files. No setting of PostgreSQL's prevents that.
 */
export async function replayedTablespaces(
  wal: SearchedWal,
  path: readonly PathPart[],
  range: { readonly from: { readonly timeline: Timeline; readonly lsn: Lsn }; readonly until: Lsn },
): Promise<ReplayedTablespace[]> {
  const { from, until } = range;
  const found: ReplayedTablespace[] = [];
  const take = (events: readonly WalEvent[]): void => {
    for (const event of events) {
      if (event.kind !== 'tablespace-create' || event.lsn < from.lsn || event.lsn >= until) continue;
      // One that is in place has no path: it lies in the data directory.
      if (event.path !== '') found.push({ oid: event.spcOid, path: event.path });
    }
  };
  let before: SearchedSegment | undefined;
  for (const run of runsOf(path, from, until, wal.segmentBytes)) {
    for await (const segment of wal.segments(run.timeline, run.first, run.last)) {
      const crossing = before?.number === segment.number - 1n && mayMake(before) ? before : undefined;
      before = segment;
      if (!crossing && !mayMake(segment)) continue;
      const index = await segment.index();
      if (!index) continue;
      const previous = await crossing?.index();
      if (previous) take(joinRecord(previous, index).events);
      take(index.events);
    }
  }
  return found;
}

/** Tablespaces are seldom made: of nearly all segments a few bytes say that none is. */
function mayMake({ summary }: SearchedSegment): boolean {
  return summary?.mayMakeTablespace !== false;
}
