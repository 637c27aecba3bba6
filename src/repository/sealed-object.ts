import type { ObjectReader, ObjectWriter } from '../storage/storage.ts';
import { objectTooShort } from '../storage/storage-errors.ts';
import { release } from './compression.ts';
import type { PreparedContent } from './content-digest.ts';
import { maxChunkBytes } from './pack-id.ts';
import { damaged, isCompressed, type ObjectKind } from './sealed-format.ts';
import { SealedReader, type SealContext } from './sealed-reader.ts';
import { SealedWriter } from './sealed-writer.ts';

/*
 * Objects that are read and written whole: WAL segments, indexes, the inside of sealed documents.
 * Blobs of 1 MiB: on WAL a single blob of 16 MiB was no smaller (12.17 % against 12.18 %) and no faster.
 */

/** A WAL segment may have 1 GiB; nothing larger is stored whole. */
export const maxWholeBytes = 1_073_741_824;

/** What a container of `plainBytes` can have at most. */
export function wholeBound(plainBytes: number): number {
  return plainBytes + Math.ceil(plainBytes / maxChunkBytes) * 32 + 65_536;
}

/** Streams `bytes` into `writer` and finishes it. */
export async function writeWhole(writer: SealedWriter, bytes: Uint8Array): Promise<void> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += maxChunkBytes) parts.push(bytes.subarray(at, at + maxChunkBytes));
  await writeParts(writer, parts);
}

/** Each of `parts` as a blob, in order, then finishes the object. */
export async function writeParts(writer: SealedWriter, parts: Iterable<Uint8Array>): Promise<void> {
  try {
    for (const part of parts) {
      const appended = writer.append(part);
      if (appended instanceof Promise) await appended;
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
}

/** Stores what `prepareContent` made, whose memory goes with it, and finishes the object. */
export async function writePrepared(writer: SealedWriter, content: PreparedContent): Promise<void> {
  try {
    for (const chunk of content.chunks) {
      const appended = writer.appendCompressed(chunk);
      if (appended instanceof Promise) await appended;
      if (chunk.payload.length < chunk.plainBytes) release(chunk.payload);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
}

/** The content of a container that is in memory. Throws as `SealedReader` does; `object-damaged` over `limitBytes`. */
export async function openWhole(
  stored: Uint8Array,
  key: string,
  kind: ObjectKind,
  context: SealContext,
  limitBytes: number,
): Promise<Uint8Array> {
  const reader = await SealedReader.over(readerOver(stored, key), key, kind, context);
  const blobs = await reader.blobs();
  const total = blobs.reduce((sum, blob) => sum + blob.plainBytes, 0);
  if (total > limitBytes) throw damaged(key, `it holds ${total} bytes; at most ${limitBytes} are expected`, 0);
  const [only] = blobs;
  if (only && blobs.length === 1) return reader.read(only);
  const whole = Buffer.allocUnsafe(total);
  let at = 0;
  for (const blob of blobs) {
    const opened = reader.read(blob);
    const plain = opened instanceof Promise ? await opened : opened;
    whole.set(plain, at);
    at += blob.plainBytes;
    // Else it may be a part of what is stored.
    if (isCompressed(blob)) release(plain);
  }
  return whole;
}

/** Seals `bytes` in memory. */
export async function sealWhole(
  bytes: Uint8Array,
  key: string,
  kind: ObjectKind,
  context: SealContext,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const writer: ObjectWriter = {
    write: (part) => {
      parts.push(Buffer.from(part));
    },
    commit: async () => {},
    abort: async () => {},
  };
  await writeWhole(SealedWriter.over(writer, key, kind, context), bytes);
  return Buffer.concat(parts);
}

function readerOver(stored: Uint8Array, key: string): ObjectReader {
  return {
    sizeBytes: stored.length,
    read: (offset, lengthBytes) => {
      if (offset + lengthBytes > stored.length) throw objectTooShort(key, stored.length, offset + lengthBytes);
      return stored.subarray(offset, offset + lengthBytes);
    },
    close: async () => {},
  };
}
