import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn, type Lsn } from './lsn.ts';
import { formatTimeline, isTimeline, type Timeline } from './timeline.ts';

/*
 * Names of WAL files, after access/xlog_internal.h (XLogFileName, XLogFromFileName):
 * 24 hexadecimal digits TTTTTTTT LLLLLLLL SSSSSSSS; with S segments of `sizeBytes` in each 4 GiB "log",
 * segment number = L * S + SSSSSSSS.
 */

declare const segmentBrand: unique symbol;

/** Which segment of WAL: its first byte's LSN divided by the segment size (PostgreSQL's `XLogSegNo`). */
export type SegmentNumber = bigint & { readonly [segmentBrand]: true };

export interface SegmentName {
  readonly timeline: Timeline;
  readonly number: SegmentNumber;
}

const logBytes = 0x1_0000_0000n;

export function segmentNumber(value: bigint | number): SegmentNumber {
  return BigInt(value) as SegmentNumber;
}

/** 1 MiB to 1 GiB, a power of two: initdb's `--wal-segsize`. */
export function isSegmentSize(sizeBytes: number): boolean {
  return sizeBytes >= 1_048_576 && sizeBytes <= 1_073_741_824 && (sizeBytes & (sizeBytes - 1)) === 0;
}

export function segmentOf(position: Lsn, sizeBytes: number): SegmentNumber {
  return segmentNumber(position / BigInt(sizeBytes));
}

/** The segment that holds the byte before `position`: where WAL that ends there is (XLByteToPrevSeg). */
export function segmentBefore(position: Lsn, sizeBytes: number): SegmentNumber {
  return segmentNumber((position - 1n) / BigInt(sizeBytes));
}

export function segmentStart(number: SegmentNumber, sizeBytes: number): Lsn {
  return lsn(number * BigInt(sizeBytes));
}

export function segmentsPerLog(sizeBytes: number): bigint {
  return logBytes / BigInt(sizeBytes);
}

export function formatSegmentName(name: SegmentName, sizeBytes: number): string {
  const perLog = segmentsPerLog(sizeBytes);
  const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
  return formatTimeline(name.timeline) + hex(name.number / perLog) + hex(name.number % perLog);
}

const segmentPattern = /^[0-9A-F]{24}$/;

export function isSegmentName(name: string): boolean {
  return segmentPattern.test(name);
}

/** `00000002.history` */
export function isHistoryName(name: string): boolean {
  return /^[0-9A-F]{8}\.history$/.test(name);
}

/** `000000010000000000000002.00000028.backup` */
export function isBackupHistoryName(name: string): boolean {
  return /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/.test(name);
}

/** `000000010000000000000002.partial` */
export function isPartialName(name: string): boolean {
  return /^[0-9A-F]{24}\.partial$/.test(name);
}

/** Throws `wal-name` where the text is not a segment's name or does not fit the segment size. */
export function parseSegmentName(text: string, sizeBytes: number): SegmentName {
  if (!isSegmentName(text)) {
    throw new PgrecallError('wal-name', `"${text}" is not the name of a WAL segment; expected 24 hexadecimal digits`);
  }
  const onTimeline = Number.parseInt(text.slice(0, 8), 16);
  if (!isTimeline(onTimeline)) throw new PgrecallError('wal-name', `"${text}" is of timeline 0, which there is not`);
  const perLog = segmentsPerLog(sizeBytes);
  const within = BigInt(`0x${text.slice(16)}`);
  if (within >= perLog) {
    throw new PgrecallError(
      'wal-name',
      `"${text}" does not fit segments of ${sizeBytes} bytes: ${perLog} to a log, this one is number ${within}`,
    );
  }
  return {
    timeline: onTimeline,
    number: segmentNumber(BigInt(`0x${text.slice(8, 16)}`) * perLog + within),
  };
}

export function formatHistoryName(value: Timeline): string {
  return `${formatTimeline(value)}.history`;
}
