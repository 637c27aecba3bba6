import { closeSync } from 'node:fs';
import { pageBytes } from '../postgres/page.ts';
import type { ExtentReader } from '../repository/extent-reader.ts';
import type { CopyItem, ItemMemory } from './copy-items.ts';
import { openToRead, readFully } from './open-file.ts';
import { splitExtents } from './overlay-extents.ts';
import { unpackMap } from './packed-map.ts';

/** Where the bytes of a piece come from: a file, or memory that was filled from a connection. */
export interface PieceSource {
  /** Fewer bytes than `lengthBytes` only where it ends. `position`: from the beginning of the piece. */
  read(into: Uint8Array, at: number, lengthBytes: number, position: number): number;
  close(): void;
}

/** `undefined` where the file is gone. */
export function openSource(item: CopyItem): PieceSource | undefined {
  if (item.memory) return memorySource(item.memory, item.lengthBytes);
  const { absolutePath, offset } = item;
  const descriptor = openToRead(absolutePath);
  if (descriptor === undefined) return undefined;
  return {
    read: (into, at, lengthBytes, position) =>
      readFully(descriptor, into, at, lengthBytes, offset + position, absolutePath),
    close: () => closeSync(descriptor),
  };
}

/**
 * For pages that are to be stored anew: those that did not come over the connection are read from where the reference
 * has them.
 */
export async function openWithStored(
  item: CopyItem,
  pages: readonly number[],
  reader: ExtentReader,
): Promise<PieceSource | undefined> {
  const { memory, before } = item;
  if (!memory?.pages || !before) return openSource(item);
  const held = new Set(memory.pages);
  const stored = new Map<number, Uint8Array>();
  const parts = splitExtents(unpackMap(before.content, before.lengthBytes), pageBytes);
  for (const page of pages) {
    if (held.has(page)) continue;
    const bytes = new Uint8Array(pageBytes);
    await reader.read(parts[page] ?? [], (plain, { fileOffset }) => bytes.set(plain, fileOffset % pageBytes));
    stored.set(page, bytes);
  }
  return memorySource(memory, item.lengthBytes, stored);
}

function memorySource(memory: ItemMemory, pieceBytes: number, stored?: ReadonlyMap<number, Uint8Array>): PieceSource {
  const { offset, pages } = memory;
  const bytes = new Uint8Array(memory.buffer);
  const places = pages && new Map(Array.from(pages, (page, i) => [page, offset + i * pageBytes]));
  const readPage = (into: Uint8Array, at: number, lengthBytes: number, page: number): void => {
    const place = places?.get(page);
    if (place !== undefined) into.set(bytes.subarray(place, place + lengthBytes), at);
    else if (stored?.has(page) === true) into.set(stored.get(page)?.subarray(0, lengthBytes) ?? [], at);
    else into.fill(0, at, at + lengthBytes);
  };
  return {
    read: (into, at, lengthBytes, position) => {
      const length = Math.max(0, Math.min(lengthBytes, pieceBytes - position));
      if (!places) {
        into.set(bytes.subarray(offset + position, offset + position + length), at);
        return length;
      }
      // Pieces of pages are read in whole pages.
      for (let done = 0; done < length; done += pageBytes) {
        readPage(into, at + done, Math.min(pageBytes, length - done), (position + done) / pageBytes);
      }
      return length;
    },
    close: () => undefined,
  };
}
