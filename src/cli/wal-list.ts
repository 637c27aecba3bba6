import { lastingGaps } from '../archive/lasting-gaps.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { formatIso, formatTable } from './format.ts';
import { requiredPositional } from './options.ts';

/** `pgrecall wal list CLUSTER`: timelines with where they branched off, ranges, gaps; exit 3 where there is a gap. */
export const runWalList: RunCommand = async (arguments_, context) => {
  const { cluster, store } = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  // Of all that is archived: what lies before the first backup is of interest here, too.
  const { gaps, catalogue } = await lastingGaps(store, [], { signal: context.signal });
  const { ranges, histories } = catalogue;
  const time = (micros: bigint | undefined): string | null => (micros === undefined ? null : formatIso(micros));
  const document = {
    cluster: cluster.name,
    segmentBytes: store.segmentBytes,
    timelines: [...new Set([...ranges.map(({ timeline }) => timeline), ...histories.keys()])]
      .toSorted((a, b) => a - b)
      .map((timeline) => {
        const parent = histories.get(timeline)?.parents.at(-1);
        return {
          timeline,
          parent: parent
            ? { timeline: parent.timeline, lsn: formatLsn(parent.switchLsn), reason: parent.reason }
            : null,
        };
      }),
    ranges: ranges.map((range) => ({
      timeline: range.timeline,
      fromLsn: formatLsn(range.startLsn),
      toLsn: formatLsn(range.endLsn),
      segments: Number((range.wholeEndLsn - range.startLsn) / BigInt(store.segmentBytes)),
      from: time(range.firstCommitTime),
      to: time(range.lastCommitTime),
    })),
    gaps: gaps.map(({ timeline, fromLsn, toLsn }) => ({ timeline, from: formatLsn(fromLsn), to: formatLsn(toLsn) })),
  };
  if (context.json) context.stdout(JSON.stringify(document, undefined, 2));
  else context.stdout(toText(document));
  return document.gaps.length === 0 ? 0 : 3;
};

function toText(document: {
  readonly cluster: string;
  readonly timelines: readonly { timeline: number; parent: { timeline: number; lsn: string; reason: string } | null }[];
  readonly ranges: readonly {
    timeline: number;
    fromLsn: string;
    toLsn: string;
    segments: number;
    from: string | null;
    to: string | null;
  }[];
  readonly gaps: readonly { timeline: number; from: string; to: string }[];
}): string {
  if (document.ranges.length === 0) return `no WAL of ${document.cluster} is archived yet`;
  const lines = document.timelines.flatMap(({ timeline, parent }) =>
    parent ? [`timeline ${timeline} left timeline ${parent.timeline} at ${parent.lsn}: ${parent.reason}`] : [],
  );
  lines.push(
    formatTable([
      ['timeline', 'from', 'to', 'segments', 'first commit', 'last commit'],
      ...document.ranges.map((range) => [
        String(range.timeline),
        range.fromLsn,
        range.toLsn,
        String(range.segments),
        range.from ?? '-',
        range.to ?? '-',
      ]),
    ]),
  );
  for (const gap of document.gaps)
    lines.push(`GAP: timeline ${gap.timeline}, ${gap.from} to ${gap.to} is not archived`);
  return lines.join('\n');
}
