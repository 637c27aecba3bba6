declare const systemIdentifierBrand: unique symbol;

/** The 64-bit number that initdb gives a cluster, in decimal as PostgreSQL prints it. */
export type SystemIdentifier = string & { readonly [systemIdentifierBrand]: true };

export function systemIdentifier(value: bigint | string): SystemIdentifier {
  return BigInt(value).toString() as SystemIdentifier;
}
