import { hash } from 'node:crypto';
import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';

/*
 * What `verify` found good, and when (docs/repository-format.md, "What was verified"). A thing is a pack, a manifest, or all
 * that lies in the folder of a log of WAL; a digest says what it was then, by names and sizes: what has another one now is
 * another thing. Nothing depends on this: what it does not know is read.
 *
 *   u8       format, 1
 *   varint   number of things; then for each, in byte order of names:
 *   varint, varint, bytes   name: how many first bytes it shares with the name before; how many follow; these
 *   varint   seconds since 1970, UTC
 *   varint   number of digests; then 8 bytes each
 */

export interface FoundGood {
  /** Seconds since 1970; of several things the earliest. */
  readonly atSeconds: number;
  /** 16 hexadecimal digits each. */
  readonly digests: ReadonlySet<string>;
}

export type Verified = ReadonlyMap<string, FoundGood>;

const format = 1;
const digestBytes = 8;
const maxNameBytes = 1024;

/** Names a thing as it is. */
export function digestOf(...parts: readonly (string | number)[]): string {
  return hash('sha256', JSON.stringify(parts)).slice(0, 2 * digestBytes);
}

export function encodeVerified(things: Verified): Uint8Array {
  const writer = new ByteWriter(things.size * 32 + 16);
  writer.u8(format).varint(things.size);
  let before = Buffer.alloc(0);
  const named = [...things].map(([name, thing]) => ({ name: Buffer.from(name, 'utf8'), thing }));
  for (const { name, thing } of named.toSorted((a, b) => Buffer.compare(a.name, b.name))) {
    const shared = sharedBytes(before, name);
    writer
      .varint(shared)
      .varint(name.length - shared)
      .bytes(name.subarray(shared));
    writer.varint(thing.atSeconds).varint(thing.digests.size);
    for (const digest of thing.digests) writer.bytes(Buffer.from(digest, 'hex'));
    before = name;
  }
  return writer.finish();
}

function sharedBytes(a: Uint8Array, b: Uint8Array): number {
  let at = 0;
  while (at < a.length && at < b.length && a[at] === b[at]) at += 1;
  return at;
}

/** Throws `decode`. */
export function decodeVerified(bytes: Uint8Array): Map<string, FoundGood> {
  const reader = new BoundedReader(bytes, 'what was verified');
  if (reader.u8() !== format) reader.fail('another format than 1');
  const things = new Map<string, FoundGood>();
  let before = Buffer.alloc(0);
  for (let left = reader.varint(); left > 0; left -= 1) {
    const shared = reader.varint();
    const rest = reader.varint();
    if (shared > before.length || shared + rest > maxNameBytes) reader.fail('a name that is too long');
    const name = Buffer.concat([before.subarray(0, shared), reader.bytes(rest)]);
    if (things.size > 0 && Buffer.compare(before, name) >= 0) reader.fail('names out of order');
    const atSeconds = reader.varint();
    const digests = new Set<string>();
    for (let count = reader.varint(); count > 0; count -= 1) {
      digests.add(Buffer.from(reader.bytes(digestBytes)).toString('hex'));
    }
    things.set(name.toString('utf8'), { atSeconds, digests });
    before = name;
  }
  reader.end();
  return things;
}

/** What two who verified at the same time found: of each thing what was found later. */
export function mergeVerified(a: Verified, b: Verified): Map<string, FoundGood> {
  const merged = new Map(a);
  for (const [name, thing] of b) {
    const there = merged.get(name);
    if (!there || there.atSeconds <= thing.atSeconds) merged.set(name, thing);
  }
  return merged;
}
