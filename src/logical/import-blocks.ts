import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { TocHeader } from './toc-header.ts';

/*
 * What follows the table of contents in a custom archive, after src/bin/pg_dump/pg_backup_custom.c (_PrintTocData, _skipData):
 *
 *   block    1 byte: 1 rows, 3 large objects; integer: dump id of its entry; then
 *     rows             a stream
 *     large objects    integer: OID, and a stream; again; an integer of 0 ends them
 *   stream   integer: length; so many bytes; again; a length of 0 ends it
 *
 * Blocks end with the archive. What a stream has is compressed as the header says, each stream on its own.
 */

export type BlockPart =
  | { readonly kind: 'block'; readonly dumpId: number }
  /** A view of what was pushed. */
  | { readonly kind: 'content'; readonly bytes: Uint8Array }
  | { readonly kind: 'end-of-stream' };

type State = 'type' | 'dump-id' | 'oid' | 'length' | 'content';

export class CustomBlocks {
  readonly #intBytes: number;
  #offset: number;
  #state: State = 'type';
  #isLargeObjects = false;
  #contentLeft = 0;
  /** Of the integer that is being read. */
  #held: number[] = [];

  /** `offset`: where the first byte that is pushed lies in the archive, for messages. */
  constructor({ intBytes }: TocHeader, offset: number) {
    this.#intBytes = intBytes;
    this.#offset = offset;
  }

  /** The parts that `bytes` bring. Throws `dump-contents`. */
  *push(bytes: Uint8Array): Generator<BlockPart> {
    for (let at = 0; at < bytes.length;) {
      if (this.#state === 'content') {
        const part = bytes.subarray(at, at + this.#contentLeft);
        at += part.length;
        this.#offset += part.length;
        this.#contentLeft -= part.length;
        yield { kind: 'content', bytes: part };
        if (this.#contentLeft === 0) this.#state = 'length';
        continue;
      }
      const byte = bytes[at] ?? 0;
      at += 1;
      this.#offset += 1;
      const part = this.#takeByte(byte);
      if (part) yield part;
    }
  }

  #takeByte(byte: number): BlockPart | undefined {
    if (this.#state === 'type') {
      if (byte !== 1 && byte !== 3) this.#fail(`a block of the type ${byte}`);
      this.#isLargeObjects = byte === 3;
      this.#state = 'dump-id';
      return undefined;
    }
    this.#held.push(byte);
    if (this.#held.length <= this.#intBytes) return undefined;
    const [sign, ...digits] = this.#held;
    this.#held = [];
    const value = digits.reduceRight((sum, digit) => sum * 256 + digit, 0);
    if (sign !== 0 || value > 0xffff_ffff) this.#fail('a number that cannot be');
    return this.#takeInteger(value);
  }

  #takeInteger(value: number): BlockPart | undefined {
    switch (this.#state) {
      case 'dump-id':
        this.#state = this.#isLargeObjects ? 'oid' : 'length';
        return { kind: 'block', dumpId: value };
      case 'oid':
        this.#state = value === 0 ? 'type' : 'length';
        return undefined;
      case 'length':
        this.#contentLeft = value;
        this.#state = value > 0 ? 'content' : this.#isLargeObjects ? 'oid' : 'type';
        return value > 0 ? undefined : { kind: 'end-of-stream' };
      default:
        return undefined;
    }
  }

  /** When all has been pushed. Throws `dump-contents` where the archive was cut. */
  finish(): void {
    if (this.#state !== 'type') {
      throw new PgrecallError('dump-contents', `the archive is cut off after ${this.#offset} bytes, within its rows`, {
        details: { sizeBytes: this.#offset },
      });
    }
  }

  #fail(problem: string): never {
    throw new PgrecallError('dump-contents', `the archive is damaged: ${problem} before byte ${this.#offset}`, {
      details: { offset: this.#offset },
    });
  }
}
