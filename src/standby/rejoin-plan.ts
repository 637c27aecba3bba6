import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';

/*
 * How the past of a former primary and that of the server that it is to follow go together: both came along the same
 * timelines up to where they parted.
 */

/** Up to where both are the same. */
export interface Parting {
  readonly timeline: Timeline;
  readonly lsn: Lsn;
}

/**
 * Where they parted; `undefined` where `theirs` goes on from all of `own`, as far as histories tell: on the timeline where it is now,
 * it ends at `ownEndLsn`. Throws nothing: timeline 1 is common to all of a cluster.
 */
export function findParting(own: TimelineHistory, ownEndLsn: Lsn, theirs: TimelineHistory): Parting | undefined {
  const ownLinks = linksOf(own, ownEndLsn);
  const theirLinks = linksOf(theirs, undefined);
  let last: Parting | undefined;
  for (const [index, link] of ownLinks.entries()) {
    const other = theirLinks[index];
    if (other?.timeline !== link.timeline) return last;
    const isLast = index === ownLinks.length - 1;
    if (other.endLsn === undefined || (link.endLsn !== undefined && link.endLsn <= other.endLsn)) {
      // They were there at least as long as we were.
      if (isLast) return undefined;
      if (link.endLsn === undefined || link.endLsn !== other.endLsn)
        return { timeline: link.timeline, lsn: link.endLsn ?? ownEndLsn };
      last = { timeline: link.timeline, lsn: link.endLsn };
      continue;
    }
    return { timeline: link.timeline, lsn: other.endLsn };
  }
  return last;
}

interface Link {
  readonly timeline: Timeline;
  /** `undefined`: it goes on. */
  readonly endLsn: Lsn | undefined;
}

function linksOf(history: TimelineHistory, endLsn: Lsn | undefined): Link[] {
  const parents = history.parents.map(({ timeline, switchLsn }): Link => ({ timeline, endLsn: switchLsn }));
  return [...parents, { timeline: history.timeline, endLsn }];
}

export type Road =
  /** Nothing was written that the others do not have: it only has to be told whom to follow. */
  { readonly kind: 'follow' } | { readonly kind: 'rewind' } | { readonly kind: 'restore'; readonly why: string };

export interface RoadFacts {
  readonly parting: Parting | undefined;
  /** Not all WAL of the directory could be read: it may have gone further than that says. */
  readonly unreadable: boolean;
  /** An earlier rejoin or restore has begun to change the directory. */
  readonly begun: boolean;
  readonly wanted: 'rewind' | 'restore' | undefined;
  /** Page checksums, or wal_log_hints. */
  readonly rewindable: boolean;
  readonly hasProgram: boolean;
  /** postgresql.conf, where pg_rewind finds it or can be told. */
  readonly hasConfiguration: boolean;
}

/** The cheapest road that leads there. */
export function chooseRoad(facts: RoadFacts): Road {
  if (facts.begun) return { kind: 'restore', why: 'an earlier attempt has begun to change the directory' };
  if (facts.parting === undefined) {
    if (!facts.unreadable) return { kind: 'follow' };
    return { kind: 'restore', why: 'WAL of it cannot be read, so that how far it went is not known' };
  }
  if (facts.wanted === 'restore') return { kind: 'restore', why: 'as wanted' };
  if (!facts.rewindable)
    return { kind: 'restore', why: 'without page checksums and wal_log_hints pg_rewind cannot tell what changed' };
  if (!facts.hasProgram) return { kind: 'restore', why: 'there is no pg_rewind beside the server’s programs' };
  if (!facts.hasConfiguration) return { kind: 'restore', why: 'pg_rewind does not find the server’s configuration' };
  return { kind: 'rewind' };
}
