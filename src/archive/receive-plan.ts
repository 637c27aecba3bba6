import { assert } from '../errors/pgrecall-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { segmentOf, segmentStart } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';

/** One timeline of the server's own past; the last one is where it is now and has no end. */
export interface ChainLink {
  readonly timeline: Timeline;
  /** Where the next link branched off. */
  readonly endLsn: Lsn | undefined;
}

export interface ReceiveSituation {
  readonly segmentBytes: number;
  /** The server's timelines, oldest first, the present one last. */
  readonly chain: readonly ChainLink[];
  /** How far the server is. */
  readonly positionLsn: Lsn;
  /** What the archive holds: contiguous runs of whole segments. */
  readonly archived: readonly { readonly timeline: Timeline; readonly endLsn: Lsn }[];
  /** Segments begun on this host, by their first byte. */
  readonly begun: readonly { readonly timeline: Timeline; readonly startLsn: Lsn }[];
  /** From where the slot makes the server keep WAL; undefined where it does not say. */
  readonly slotLsn: Lsn | undefined;
}

export interface ReceiveStart {
  readonly timeline: Timeline;
  /** The first byte of a segment. */
  readonly startLsn: Lsn;
  /** What decided: the end of what is archived, a segment begun here, the slot, or the server's position. */
  readonly after: 'archive' | 'begun' | 'branch' | 'slot' | 'position';
  /** The archive has WAL, but none of this server's past: it starts anew, with a gap that nothing can fill. */
  readonly unrelated: boolean;
}

/**
 * Where to begin to receive, so that no gap is left that the server could still fill.
 *
 * On the newest timeline of the server's past of which anything is archived: where a contiguous run ends; with
 * several runs, the first end that the slot still covers, for what lies behind it can be had. Where more is
 * archived of a timeline than belongs to the server's past (the standby that was promoted had not received it), WAL goes on where its own
 * timeline branched off. Every start is the beginning of a segment: a segment is stored whole or not at all.
 */
export function planStart(situation: ReceiveSituation): ReceiveStart {
  const { chain, segmentBytes } = situation;
  const floor = (position: Lsn): Lsn => segmentStart(segmentOf(position, segmentBytes), segmentBytes);
  for (let index = chain.length - 1; index >= 0; index -= 1) {
    const link = chain[index];
    if (!link) continue;
    const start = continuation(situation, link.timeline, floor);
    if (!start) continue;
    if (link.endLsn !== undefined && start.startLsn > link.endLsn) {
      const next = chain[index + 1];
      if (next) return { timeline: next.timeline, startLsn: floor(link.endLsn), after: 'branch', unrelated: false };
    }
    return { timeline: link.timeline, ...start, unrelated: false };
  }
  const from = situation.slotLsn ?? situation.positionLsn;
  return {
    timeline: timelineAt(chain, from),
    startLsn: floor(from),
    after: situation.slotLsn === undefined ? 'position' : 'slot',
    unrelated: situation.archived.length > 0,
  };
}

function continuation(
  situation: ReceiveSituation,
  timeline: Timeline,
  floor: (position: Lsn) => Lsn,
): { readonly startLsn: Lsn; readonly after: 'archive' | 'begun' } | undefined {
  const ends = situation.archived.filter((range) => range.timeline === timeline).map((range) => range.endLsn);
  const covered = situation.slotLsn === undefined ? [] : ends.filter((end) => end >= floor(situation.slotLsn ?? end));
  const end = covered.length > 0 ? smallest(covered) : largest(ends);
  if (end !== undefined) return { startLsn: end, after: 'archive' };
  const begun = largest(
    situation.begun.filter((segment) => segment.timeline === timeline).map((segment) => segment.startLsn),
  );
  return begun === undefined ? undefined : { startLsn: begun, after: 'begun' };
}

/** The timeline that `position` lies on in the server's past. */
export function timelineAt(chain: readonly ChainLink[], position: Lsn): Timeline {
  const link = chain.find((candidate) => candidate.endLsn === undefined || position < candidate.endLsn) ?? chain.at(-1);
  assert(link, 'a server without a timeline');
  return link.timeline;
}

function smallest(values: readonly Lsn[]): Lsn | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => (a < b ? a : b));
}

function largest(values: readonly Lsn[]): Lsn | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => (a > b ? a : b));
}
