import { PgrecallError } from '../errors/pgrecall-error.ts';

declare const lsnBrand: unique symbol;

/** A position in WAL: bytes since the beginning, 64 bits unsigned (PostgreSQL's `XLogRecPtr`). */
export type Lsn = bigint & { readonly [lsnBrand]: true };

/** `InvalidXLogRecPtr`. */
export const invalidLsn = lsn(0n);

export function lsn(value: bigint | number): Lsn {
  return BigInt.asUintN(64, BigInt(value)) as Lsn;
}

const pattern = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Whether the text is PostgreSQL's notation of one. */
export function isLsn(text: string): boolean {
  return pattern.test(text);
}

/** Reads PostgreSQL's notation, `16/B374D848`. Throws `usage` where the text is not one. */
export function parseLsn(text: string): Lsn {
  const match = pattern.exec(text);
  if (!match) throw new PgrecallError('usage', `"${text}" is not an LSN; expected something like 16/B374D848`);
  return lsn((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`));
}

/** PostgreSQL's `%X/%X`: no zero padding, as `pg_current_wal_lsn()` prints it up to version 18. */
export function formatLsn(value: Lsn): string {
  return `${(value >> 32n).toString(16)}/${(value & 0xffff_ffffn).toString(16)}`.toUpperCase();
}
