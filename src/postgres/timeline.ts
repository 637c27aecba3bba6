import { PgrecallError } from '../errors/pgrecall-error.ts';

declare const timelineBrand: unique symbol;

/** A timeline's number, 1 to 2^32 - 1 (PostgreSQL's `TimeLineID`). */
export type Timeline = number & { readonly [timelineBrand]: true };

export function isTimeline(value: number): value is Timeline {
  return Number.isInteger(value) && value >= 1 && value <= 0xffff_ffff;
}

/** Throws `usage` where it is none. */
export function timeline(value: number): Timeline {
  if (!isTimeline(value)) {
    throw new PgrecallError('usage', `${value} is not a timeline; expected a whole number from 1 to 4294967295`);
  }
  return value;
}

/** Eight hexadecimal digits, as in the names of WAL files. */
export function formatTimeline(value: Timeline): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
