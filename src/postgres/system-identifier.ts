import { PgrecallError } from '../errors/pgrecall-error.ts';

declare const systemIdentifierBrand: unique symbol;

/** The 64-bit number that initdb gives a cluster, in decimal as PostgreSQL prints it. */
export type SystemIdentifier = string & { readonly [systemIdentifierBrand]: true };

/** Throws `decode` where the text is not a decimal number of 64 bits. */
export function systemIdentifier(value: bigint | string): SystemIdentifier {
  if (!/^\d{1,20}$/.test(String(value)) || BigInt(value) > 0xffff_ffff_ffff_ffffn) {
    throw new PgrecallError('decode', `"${value}" is not a system identifier; expected a number of 64 bits`);
  }
  return BigInt(value).toString() as SystemIdentifier;
}
