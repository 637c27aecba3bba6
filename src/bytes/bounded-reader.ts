import { PgrecallError } from '../errors/pgrecall-error.ts';

/**
 * Reads integers and runs of bytes in order from a buffer and never past its end.
 *
 * Everything that comes from a disk or the network is read through this class: a truncated or
 * hostile input ends in a `decode` error that names what was read and the byte offset.
 * Little-endian, as PostgreSQL's files are on every platform that pgrecall runs on; the
 * big-endian readers carry `BE` in their names.
 */
export class BoundedReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #offset: number;

  /** `what` names the input in errors, for instance "pg_control". */
  constructor(bytes: Uint8Array, what: string, offset = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  #advance(length: number): number {
    const at = this.#offset;
    if (length < 0 || at + length > this.#bytes.length) {
      this.fail(`expected ${length} more bytes, found ${this.remaining}`);
    }
    this.#offset = at + length;
    return at;
  }

  /** Throws a `decode` error at the present offset. */
  fail(problem: string): never {
    throw new PgrecallError('decode', `${this.#what}: ${problem} at byte ${this.#offset}`, {
      details: { what: this.#what, offset: this.#offset },
    });
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#advance(8), true);
  }

  u16BE(): number {
    return this.#view.getUint16(this.#advance(2), false);
  }

  u32BE(): number {
    return this.#view.getUint32(this.#advance(4), false);
  }

  u64BE(): bigint {
    return this.#view.getBigUint64(this.#advance(8), false);
  }

  /** Unsigned LEB128, at most 2^53 - 1. */
  varint(): number {
    // Most are below 128, and a manifest has millions.
    const first = this.#bytes[this.#offset];
    if (first !== undefined && first < 0x80) {
      this.#offset += 1;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) this.fail('a variable-length integer exceeds 2^53 - 1');
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  /** Unsigned LEB128, at most 2^64 - 1. */
  bigVarint(): bigint {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (value > 0xffff_ffff_ffff_ffffn) this.fail('a variable-length integer exceeds 2^64 - 1');
      if (byte < 0x80) return value;
      shift += 7n;
    }
  }

  /** A view, not a copy, of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A length as varint, then that many bytes of UTF-8; at most `limit` bytes. */
  text(limit = 65_536): string {
    const length = this.varint();
    if (length > limit) this.fail(`a text of ${length} bytes where at most ${limit} are allowed`);
    return Buffer.from(this.bytes(length)).toString('utf8');
  }

  skip(length: number): void {
    this.#advance(length);
  }

  /** Throws unless everything has been read. */
  end(): void {
    if (this.remaining !== 0) this.fail(`${this.remaining} bytes too many`);
  }
}
