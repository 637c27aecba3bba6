import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { logsPerGroup } from './wal-keys.ts';
import type { SegmentSummary } from './segment-summary.ts';

/** What a catalogue has to know of a log whose segments are all there. */
export interface LogSpan {
  readonly firstCommitTime: bigint | undefined;
  readonly lastCommitTime: bigint | undefined;
  /** Whether replay goes through: none of its segments ends before its end. */
  readonly unbroken: boolean;
}

export function spanOfLog(summaries: readonly SegmentSummary[]): LogSpan {
  return {
    firstCommitTime: summaries.find(({ firstCommitTime }) => firstCommitTime !== undefined)?.firstCommitTime,
    lastCommitTime: summaries.findLast(({ lastCommitTime }) => lastCommitTime !== undefined)?.lastCommitTime,
    unbroken: summaries.every((summary) => !endsEarly(summary)),
  };
}

/** Replay would take such a segment for the end of WAL, although others follow it. */
export function endsEarly({ ending, readable }: SegmentSummary): boolean {
  return readable && ending === 'end-of-wal';
}

const format = 1;
const flags = { commits: 1, unbroken: 2 } as const;

export function encodeGroup(spans: readonly LogSpan[]): Uint8Array {
  const writer = new ByteWriter(spans.length * 18);
  writer.u8(format);
  for (const { firstCommitTime, lastCommitTime, unbroken } of spans) {
    writer.u8((firstCommitTime === undefined ? 0 : flags.commits) | (unbroken ? flags.unbroken : 0));
    if (firstCommitTime !== undefined) writer.i64(firstCommitTime).i64(lastCommitTime ?? firstCommitTime);
  }
  return writer.finish();
}

/** Throws `decode` for what `encodeGroup` cannot have made. */
export function decodeGroup(bytes: Uint8Array): LogSpan[] {
  const reader = new BoundedReader(bytes, 'group of logs');
  const found = reader.u8();
  if (found !== format) reader.fail(`format ${found} where ${format} is expected`);
  const spans = Array.from({ length: Number(logsPerGroup) }, (): LogSpan => {
    const head = reader.u8();
    if (head > 3) reader.fail('unknown bits');
    const hasCommits = (head & flags.commits) !== 0;
    return {
      firstCommitTime: hasCommits ? reader.i64() : undefined,
      lastCommitTime: hasCommits ? reader.i64() : undefined,
      unbroken: (head & flags.unbroken) !== 0,
    };
  });
  reader.end();
  return spans;
}
