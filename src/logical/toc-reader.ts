import { TextDecoder } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/** The longest text that is believed: a definition may be long, but a length that was damaged is mostly longer. */
const maxTextBytes = 67_108_864;

/** Not all of what is being decoded is here yet. Never leaves the decoder. */
export class MoreNeeded extends Error {}

/**
 * Reads the integers, texts and offsets of which pg_dump's archives are made, from as much of one as has come: past its
 * end it throws `MoreNeeded`. Integers are a sign and `intBytes` of magnitude, least significant first; a text is its
 * length and its bytes, or -1 for none. After ReadInt, ReadStr and ReadOffset of src/bin/pg_dump/pg_backup_archiver.c.
 */
export class TocReader {
  readonly #bytes: Uint8Array;
  /** Where the first byte lies in the archive, for messages. */
  readonly #base: number;
  readonly #decoder: TextDecoder;
  #at = 0;
  intBytes = 4;
  offsetBytes = 8;

  constructor(bytes: Uint8Array, base = 0, decoder = new TextDecoder('utf-8', { ignoreBOM: true })) {
    this.#bytes = bytes;
    this.#base = base;
    this.#decoder = decoder;
  }

  /** How many bytes were read. */
  get consumed(): number {
    return this.#at;
  }

  fail(problem: string): never {
    const offset = this.#base + this.#at;
    throw new PgrecallError('dump-contents', `the table of contents is damaged: ${problem} at byte ${offset}`, {
      details: { offset },
    });
  }

  bytes(length: number): Uint8Array {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw new MoreNeeded();
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new MoreNeeded();
    this.#at += 1;
    return byte;
  }

  int(): number {
    const sign = this.byte();
    if (sign > 1) this.fail(`a sign of ${sign}, where 0 or 1 was expected,`);
    const magnitude = this.#unsigned(this.intBytes);
    return sign === 1 ? -magnitude : magnitude;
  }

  /** One that is none is undefined. */
  text(): string | undefined {
    const bytes = this.rawText();
    return bytes && this.#decoder.decode(bytes);
  }

  /** Its bytes. */
  rawText(): Buffer | undefined {
    const length = this.int();
    if (length === -1) return undefined;
    if (length < 0 || length > maxTextBytes) {
      this.fail(`a text of ${length} bytes, where at most ${maxTextBytes} are read,`);
    }
    const bytes = this.bytes(length);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Where a table's rows begin in a custom archive. */
  offset(): number {
    return this.#unsigned(this.offsetBytes);
  }

  #unsigned(length: number): number {
    let value = 0;
    let scale = 1;
    for (let at = 0; at < length; at += 1) {
      value += this.byte() * scale;
      scale *= 256;
    }
    if (value > Number.MAX_SAFE_INTEGER) this.fail('an integer exceeds 2^53 - 1');
    return value;
  }
}
