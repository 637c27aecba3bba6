import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, parseLsn, type Lsn } from './lsn.ts';
import { isTimeline, type Timeline } from './timeline.ts';

/*
 * Timeline history files, after access/transam/timeline.c: a line for each ancestor, oldest first, its number,
 * the position where it was left, and a reason, separated by tabs; empty lines and lines after # are comments.
 */

export interface HistoryEntry {
  readonly timeline: Timeline;
  /** The first position that is no longer on this timeline. */
  readonly switchLsn: Lsn;
  readonly reason: string;
}

export interface TimelineHistory {
  readonly timeline: Timeline;
  /** Oldest first; empty for timeline 1. */
  readonly parents: readonly HistoryEntry[];
}

/** Throws `decode` where a line cannot be read, or ancestors do not ascend, or the last line has no end. */
export function parseHistory(text: string, of: Timeline): TimelineHistory {
  if (text !== '' && !text.endsWith('\n')) {
    // PostgreSQL ends every line; half an LSN would look like another one
    throw new PgrecallError('decode', `history of timeline ${of}: its last line is cut`);
  }
  const parents: HistoryEntry[] = [];
  text.split('\n').forEach((line, i) => {
    if (/^\s*(#|$)/.test(line)) return;
    const match = /^\s*(\d+)\s+([0-9A-F]{1,8}\/[0-9A-F]{1,8})(?:\s+([^]*))?$/i.exec(line);
    const previous = parents.at(-1);
    const parent = Number(match?.[1]);
    if (!match || !isTimeline(parent)) {
      throw new PgrecallError('decode', `history of timeline ${of}: cannot read line ${i + 1}: "${line}"`);
    }
    if (parent >= of || (previous && parent <= previous.timeline)) {
      throw new PgrecallError('decode', `history of timeline ${of}: timelines do not ascend in line ${i + 1}`);
    }
    parents.push({ timeline: parent, switchLsn: parseLsn(match[2] ?? ''), reason: match[3] ?? '' });
  });
  return { timeline: of, parents };
}

export function formatHistory(history: TimelineHistory): string {
  return history.parents
    .map(({ timeline: parent, switchLsn, reason }) => `${parent}\t${formatLsn(switchLsn)}\t${reason}\n`)
    .join('');
}

/** On which timeline of the chain a position lies. */
export function timelineOfPosition(history: TimelineHistory, position: Lsn): Timeline {
  return history.parents.find(({ switchLsn }) => position < switchLsn)?.timeline ?? history.timeline;
}

/** Whether `ancestor` is the timeline itself or one that it came from. */
export function descendsFrom(history: TimelineHistory, ancestor: Timeline): boolean {
  return history.timeline === ancestor || history.parents.some(({ timeline: parent }) => parent === ancestor);
}
