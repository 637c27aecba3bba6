import type { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import type { FileIdentity } from './manifest.ts';

/*
 * The identity of a file in a block of the manifest:
 *
 *   inode     varint, zigzag: less that of the identity before
 *   born      varint, zigzag: less that of the identity before
 *   changed   varint: 0 where it tells nothing; else one more than the zigzag of what is left when the time of modification
 *             is taken from it, which is most often less than a millisecond
 *
 * Before the first one of a block stand zeros.
 */

export const noIdentity: FileIdentity = { inode: 0, bornMicros: 0, changedMicros: 0 };

/** Whether it can be written: times far from all others cannot. */
export function isCodable(identity: FileIdentity, before: FileIdentity, modifiedMs: number): boolean {
  return (
    Number.isSafeInteger(modifiedMs * 1000) &&
    differences(identity, before, modifiedMs).every((difference) => Number.isSafeInteger(zigzag(difference) + 1))
  );
}

export function encodeIdentity(
  identity: FileIdentity,
  before: FileIdentity,
  modifiedMs: number,
  into: ByteWriter,
): void {
  const [inode, born, changed] = differences(identity, before, modifiedMs);
  into.varint(zigzag(inode)).varint(zigzag(born));
  into.varint(identity.changedMicros === 0 ? 0 : zigzag(changed) + 1);
}

/** Fails through its reader. */
export function decodeIdentity(reader: BoundedReader, before: FileIdentity, modifiedMs: number): FileIdentity {
  const inode = before.inode + unzigzag(reader.varint());
  const bornMicros = before.bornMicros + unzigzag(reader.varint());
  const changed = reader.varint();
  const changedMicros = changed === 0 ? 0 : modifiedMs * 1000 + unzigzag(changed - 1);
  const isPossible = [inode, bornMicros, changedMicros].every((value) => Number.isSafeInteger(value));
  if (!isPossible || inode < 0) reader.fail('an identity that no file has');
  return { inode, bornMicros, changedMicros };
}

function differences(
  { inode, bornMicros, changedMicros }: FileIdentity,
  before: FileIdentity,
  modifiedMs: number,
): readonly [number, number, number] {
  const changed = changedMicros === 0 ? 0 : changedMicros - modifiedMs * 1000;
  return [inode - before.inode, bornMicros - before.bornMicros, changed];
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}
