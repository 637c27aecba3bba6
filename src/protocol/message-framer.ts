import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Framing of PostgreSQL's frontend/backend protocol, version 3, after
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 *   byte 0      type of the message, an ASCII letter
 *   bytes 1-4   length, big-endian, counting itself but not the type
 *   then        the body: length - 4 bytes
 *
 * (The very first message of a client has no type byte; by the time this framer is used, the
 * connection is past it.)
 */

/** A whole message from the server. `body` may be a view of what `push` was given. */
export interface BackendMessage {
  /** Code of the letter that tells what it is. */
  readonly type: number;
  readonly body: Uint8Array;
}

const headerBytes = 5;

/**
 * The server's WAL messages carry at most 128 KiB and a base backup's 32 KiB or a little more; a history
 * file or an error stays far below this. A length above it means that we and the server are out of step.
 */
export const messageLimitBytes = 16 * 1024 * 1024;

/**
 * Cuts a stream of bytes into messages, however the bytes are split on their way.
 *
 * A message that came in one piece is a view of that piece; one that came in several is gathered in
 * memory of its own size, so that no byte is copied more than once.
 */
export class MessageFramer {
  readonly #header = new Uint8Array(headerBytes);
  #headerLength = 0;
  #body: Uint8Array | undefined;
  #bodyLength = 0;

  /** Whether the bytes so far end between two messages. */
  get idle(): boolean {
    return this.#headerLength === 0;
  }

  /** The messages that `chunk` completes, in order. Throws `decode` where a length cannot be one. */
  push(chunk: Uint8Array): BackendMessage[] {
    const messages: BackendMessage[] = [];
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#headerLength < headerBytes) {
        offset = this.#takeHeader(chunk, offset);
        if (this.#headerLength < headerBytes) break;
      }
      const length = this.#bodySize();
      if (!this.#body && chunk.length - offset >= length) {
        messages.push(this.#finish(chunk.subarray(offset, offset + length)));
        offset += length;
      } else {
        this.#body ??= new Uint8Array(length);
        const taken = chunk.subarray(offset, offset + length - this.#bodyLength);
        this.#body.set(taken, this.#bodyLength);
        this.#bodyLength += taken.length;
        offset += taken.length;
        if (this.#bodyLength === length) messages.push(this.#finish(this.#body));
      }
    }
    // A message without a body is whole as soon as its header is.
    if (this.#headerLength === headerBytes && !this.#body && this.#bodySize() === 0) {
      messages.push(this.#finish(new Uint8Array(0)));
    }
    return messages;
  }

  #takeHeader(chunk: Uint8Array, offset: number): number {
    const taken = chunk.subarray(offset, offset + headerBytes - this.#headerLength);
    this.#header.set(taken, this.#headerLength);
    this.#headerLength += taken.length;
    return offset + taken.length;
  }

  #bodySize(): number {
    const length = new DataView(this.#header.buffer).getUint32(1, false);
    if (length < 4 || length - 4 > messageLimitBytes) {
      throw new PgrecallError('decode', `a message of type ${describeType(this.#header[0])} of ${length} bytes`, {
        details: { type: this.#header[0], length },
      });
    }
    return length - 4;
  }

  #finish(body: Uint8Array): BackendMessage {
    const type = this.#header[0] ?? 0;
    this.#headerLength = 0;
    this.#body = undefined;
    this.#bodyLength = 0;
    return { type, body };
  }
}

/** `'w'`, or the number of what is not a printable letter: for errors. */
export function describeType(type: number | undefined): string {
  if (type === undefined) return 'none';
  return type > 0x20 && type < 0x7f ? `'${String.fromCharCode(type)}'` : String(type);
}
