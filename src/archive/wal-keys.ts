import { PgrecallError } from '../errors/pgrecall-error.ts';
import {
  formatSegmentName,
  segmentNumber,
  segmentsPerLog,
  type SegmentName,
  type SegmentNumber,
} from '../postgres/segment-name.ts';
import { formatTimeline, timeline, type Timeline } from '../postgres/timeline.ts';

/*
 * Where WAL and its index lie in a cluster's part of the repository:
 *
 *   wal/<incarnation>/<timeline>.history
 *   wal/<incarnation>/<timeline>/expired                             which of its segments were expired
 *   wal/<incarnation>/<timeline>/<log>/<segment>-<digest>            a whole segment
 *   wal/<incarnation>/<timeline>/<log>/<segment>.partial-<digest>    the beginning of one
 *   wal/<incarnation>/<timeline>/<log>/<segment>.<offset>.backup     PostgreSQL's note about a backup
 *   wal-index/<incarnation>/<timeline>/<log>/<segment>               what one segment says
 *   wal-index/<incarnation>/<timeline>/<log>.log                     the same of a whole log
 *   wal-index/<incarnation>/<timeline>/<group>.group                 spans of 256 whole logs
 *
 * <timeline> and <log> are 8 hexadecimal digits as in the names of segments, <group> the first 6 digits of
 * its logs; <digest> identifies the content (repository/content-digest.ts), so that one name can never quietly get
 * another content.
 */

export class WalKeys {
  readonly #incarnation: number;
  readonly #segmentBytes: number;

  constructor(incarnation: number, segmentBytes: number) {
    this.#incarnation = incarnation;
    this.#segmentBytes = segmentBytes;
  }

  get walFolder(): string {
    return `wal/${this.#incarnation}`;
  }

  get indexFolder(): string {
    return `wal-index/${this.#incarnation}`;
  }

  historyKey(name: string): string {
    return `${this.walFolder}/${name}`;
  }

  /** The folder of a log's segments. */
  logFolder(of: Timeline, log: bigint): string {
    return `${this.walFolder}/${formatTimeline(of)}/${formatLog(log)}`;
  }

  expiredKey(of: Timeline): string {
    return `${this.walFolder}/${formatTimeline(of)}/expired`;
  }

  indexLogFolder(of: Timeline, log: bigint): string {
    return `${this.indexFolder}/${formatTimeline(of)}/${formatLog(log)}`;
  }

  indexKey({ timeline: of, number }: SegmentName): string {
    const name = formatSegmentName({ timeline: of, number }, this.#segmentBytes);
    return `${this.indexLogFolder(of, this.logOf(number))}/${name}`;
  }

  logIndexKey(of: Timeline, log: bigint): string {
    return `${this.indexLogFolder(of, log)}.log`;
  }

  groupKey(of: Timeline, group: bigint): string {
    return `${this.indexFolder}/${formatTimeline(of)}/${formatGroup(group)}.group`;
  }

  logOf(number: SegmentNumber): bigint {
    return number / segmentsPerLog(this.#segmentBytes);
  }

  firstOfLog(log: bigint): SegmentNumber {
    return segmentNumber(log * segmentsPerLog(this.#segmentBytes));
  }

  get segmentsPerLog(): number {
    return Number(segmentsPerLog(this.#segmentBytes));
  }
}

/** Logs that one group of the index rolls up. */
export const logsPerGroup = 256n;

export function formatLog(log: bigint): string {
  return log.toString(16).toUpperCase().padStart(8, '0');
}

function formatGroup(group: bigint): string {
  return group.toString(16).toUpperCase().padStart(6, '0');
}

const eight = /^[0-9A-F]{8}$/;

/** `undefined` where a folder's name is no timeline. */
export function timelineOfFolder(name: string): Timeline | undefined {
  const value = eight.test(name) ? Number.parseInt(name, 16) : 0;
  return value === 0 ? undefined : timeline(value);
}

/** `undefined` where a folder's name is no log. */
export function logOfFolder(name: string): bigint | undefined {
  return eight.test(name) ? BigInt(`0x${name}`) : undefined;
}

/** What the name of an object in a log's folder says. */
export interface WalObjectName {
  readonly segment: string;
  readonly kind: 'segment' | 'partial';
  /** Of its content, see content-digest.ts. */
  readonly digest: string;
}

const objectPattern = /^([0-9A-F]{24})(\.partial)?-([0-9a-f]{64})$/;

export function parseWalObjectName(name: string): WalObjectName | undefined {
  const match = objectPattern.exec(name);
  if (!match) return undefined;
  return { segment: match[1] ?? '', kind: match[2] === undefined ? 'segment' : 'partial', digest: match[3] ?? '' };
}

export function walObjectName({ segment, kind, digest }: WalObjectName): string {
  return `${segment}${kind === 'partial' ? '.partial' : ''}-${digest}`;
}

/** Two contents under one name: neither is touched, and neither is taken for the right one. */
export function otherContent(name: string, where: string, kept: readonly string[]): PgrecallError {
  return new PgrecallError('wal-other-content', `"${name}" is archived already with other content, in ${where}`, {
    details: { name, kept },
  });
}
