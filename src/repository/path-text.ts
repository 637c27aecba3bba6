import { isUtf8 } from 'node:buffer';

/*
 * Paths are bytes to the operating system and text to everyone else. A path that is UTF-8 is that
 * text. A byte b (0x80 to 0xFF) that is not part of valid UTF-8 is carried as the lone surrogate
 * U+DC00 + b, as Python's "surrogateescape" does: nothing is lost, and no UTF-8 text can look alike.
 * In the manifest a path is its bytes.
 */

const escapeFirst = 0xdc80;
const escapeLast = 0xdcff;

/** The bytes of a path, for the manifest and for calls of the file system where `isWellFormed()` is false. */
export function encodePath(path: string): Buffer {
  if (path.isWellFormed()) return Buffer.from(path, 'utf8');
  const parts: Buffer[] = [];
  for (const character of path) {
    const code = character.codePointAt(0) ?? 0;
    const escaped = code >= escapeFirst && code <= escapeLast;
    parts.push(escaped ? Buffer.of(code - 0xdc00) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

export function decodePath(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(buffer)) return buffer.toString('utf8');
  let text = '';
  for (let at = 0; at < buffer.length;) {
    const length = validLength(buffer, at);
    text += length === 0 ? String.fromCharCode(0xdc00 + (buffer[at] ?? 0)) : buffer.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

/** Bytes of the valid character at `at`; 0 where there is none. */
function validLength(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length += 1) {
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  }
  return 0;
}

/** A path as the file system takes it: text as long as it is UTF-8. */
export function fileSystemPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : encodePath(path);
}
