import { createHash } from 'node:crypto';
import { Bytes, check } from './second-reader-sealed.ts';

/* The second reader's notes of what was verified: docs/repository-format.md, "What was verified". */

export interface Noted {
  readonly name: string;
  readonly seconds: number;
  readonly digests: readonly string[];
}

export function readVerified(content: Buffer): Noted[] {
  const reader = new Bytes(content);
  check(reader.u8() === 1, 'notes of another format');
  const notes: Noted[] = [];
  let name = Buffer.alloc(0);
  for (let left = reader.varint(); left > 0; left -= 1) {
    const shared = reader.varint();
    check(shared <= name.length, 'a name that shares too much');
    const next = Buffer.concat([name.subarray(0, shared), reader.take(reader.varint())]);
    check(notes.length === 0 || Buffer.compare(name, next) < 0, 'names out of order');
    name = next;
    const seconds = reader.varint();
    const digests = Array.from({ length: reader.count() }, () => reader.take(8).toString('hex'));
    notes.push({ name: name.toString('utf8'), seconds, digests });
  }
  check(reader.left === 0, 'notes that are too long');
  return notes;
}

/** What the document says that a digest is of. */
export function notedDigest(of: readonly (string | number)[]): string {
  return createHash('sha256').update(JSON.stringify(of)).digest('hex').slice(0, 16);
}
