import { ByteWriter } from '../bytes/byte-writer.ts';

/*
 * The messages that we send once a connection stands: each a letter, its length (counting itself), its body.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

function frame(type: string, body: Uint8Array): Buffer {
  return new ByteWriter(5 + body.length)
    .u8(type.charCodeAt(0))
    .u32BE(4 + body.length)
    .bytes(body)
    .finish();
}

/** A simple Query: one command in the replication grammar (or SQL, where the connection takes it). */
export function encodeQuery(text: string): Buffer {
  return frame('Q', Buffer.from(`${text}\0`, 'utf8'));
}

export function encodeCopyData(payload: Uint8Array): Buffer {
  return frame('d', payload);
}

/** Ends our half of a copy. */
export function encodeCopyDone(): Buffer {
  return frame('c', new Uint8Array(0));
}

/** Says goodbye, so that the server does not log a lost connection. */
export function encodeTerminate(): Buffer {
  return frame('X', new Uint8Array(0));
}
