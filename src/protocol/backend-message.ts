import { BoundedReader } from '../bytes/bounded-reader.ts';
import { describeType } from './message-framer.ts';

/*
 * Bodies of the server's messages that a replication connection meets, after
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 * All integers are big-endian; a String ends with a zero byte.
 */

/** The letters that tell the server's messages apart. */
export const backendType = {
  commandComplete: 0x43, // 'C'
  copyBothResponse: 0x57, // 'W'
  copyData: 0x64, // 'd'
  copyDone: 0x63, // 'c'
  copyInResponse: 0x47, // 'G'
  copyOutResponse: 0x48, // 'H'
  dataRow: 0x44, // 'D'
  emptyQuery: 0x49, // 'I'
  errorResponse: 0x45, // 'E'
  noticeResponse: 0x4e, // 'N'
  notification: 0x41, // 'A'
  parameterStatus: 0x53, // 'S'
  readyForQuery: 0x5a, // 'Z'
  rowDescription: 0x54, // 'T'
} as const;

/** What an ErrorResponse or a NoticeResponse says. */
export interface ServerReport {
  /** ERROR, FATAL, PANIC, WARNING, NOTICE …, not translated where the server says so (9.6 and later). */
  readonly severity: string;
  /** Five characters, as in PostgreSQL's Appendix A. */
  readonly sqlState: string;
  readonly message: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
}

/** Decodes an ErrorResponse or NoticeResponse: fields (Byte1 code, String value), then a zero byte. */
export function decodeServerReport(body: Uint8Array): ServerReport {
  const reader = new BoundedReader(body, 'the server’s error report');
  const fields = new Map<string, string>();
  for (;;) {
    const code = reader.u8();
    if (code === 0) break;
    fields.set(String.fromCharCode(code), readString(reader, body));
  }
  reader.end();
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    sqlState: fields.get('C') ?? 'XX000',
    message: fields.get('M') ?? 'no message',
    detail: fields.get('D'),
    hint: fields.get('H'),
  };
}

/** The names of the columns of a RowDescription, in order. */
export function decodeColumnNames(body: Uint8Array): string[] {
  const reader = new BoundedReader(body, 'a row description');
  const names: string[] = [];
  for (let left = reader.u16BE(); left > 0; left -= 1) {
    names.push(readString(reader, body));
    // Table oid 4, column number 2, type oid 4, type size 2, type modifier 4, format 2.
    reader.skip(18);
  }
  reader.end();
  return names;
}

const nullLength = 0xffff_ffff;

/** The values of a DataRow: views of the bytes, undefined for SQL's null. */
export function decodeRow(body: Uint8Array): (Uint8Array | undefined)[] {
  const reader = new BoundedReader(body, 'a row');
  const values: (Uint8Array | undefined)[] = [];
  for (let left = reader.u16BE(); left > 0; left -= 1) {
    const length = reader.u32BE();
    values.push(length === nullLength ? undefined : reader.bytes(length));
  }
  reader.end();
  return values;
}

/** The tag of a CommandComplete: `COPY 0`, `START_STREAMING`. */
export function decodeCommandTag(body: Uint8Array): string {
  const reader = new BoundedReader(body, 'the end of a command');
  const tag = readString(reader, body);
  reader.end();
  return tag;
}

/** Name and value of a ParameterStatus, which the server sends for `server_version` and the like. */
export function decodeParameterStatus(body: Uint8Array): { readonly name: string; readonly value: string } {
  const reader = new BoundedReader(body, 'a parameter’s status');
  const name = readString(reader, body);
  const value = readString(reader, body);
  reader.end();
  return { name, value };
}

/** A String: UTF-8 up to a zero byte. `body` is what `reader` reads. */
export function readString(reader: BoundedReader, body: Uint8Array): string {
  const end = body.indexOf(0, reader.offset);
  if (end < 0) reader.fail('a string without an end');
  const text = Buffer.from(reader.bytes(end - reader.offset)).toString('utf8');
  reader.skip(1);
  return text;
}

/** Stops on a message that has no place where it came. Throws `decode`. */
export function unexpectedMessage(type: number, where: string): never {
  return new BoundedReader(new Uint8Array(0), where).fail(`an unexpected message of type ${describeType(type)}`);
}
