import { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import type { FileMapDecoder, FileMapEncoder } from './file-map.ts';
import { sumsRunBytes, type FileIdentity, type FileMaps, type ManifestEntry } from './manifest.ts';
import { comparePaths, isTablespaceLink, liesBelow, pathProblem, sharedPrefix } from './manifest-path.ts';
import { maxBlobBytes } from './sealed-format.ts';
import type { BlobLocation } from './pack-id.ts';
import { decodePath, encodePath } from './path-text.ts';

/*
 * One entry of a block of the manifest:
 *
 *   head    u8      bits 0-1: kind (0 file, 1 directory, 2 symbolic link), bit 2: the map is a blob of its own,
 *                   bit 3: owner and group as in the entry before, bit 4: modified before the entry before,
 *                   bit 5: an identity follows
 *   path            varint: bytes shared with the path before; varint: bytes that follow; these
 *   mode    varint
 *   flags   varint
 *   owner, group    texts (varint: bytes; UTF-8), unless bit 3
 *   time    varint  milliseconds between this entry's modification and that of the entry before
 *   files:          varint: size; u32: CRC-32C; with bit 5 the identity: varint: inode; zigzag varints: birth and change
 *                   less those of the entry before, in microseconds; varints: number of extents, number of those of the
 *                   sums; then the extents of both (file-map.ts), or, with bit 2, varints: offset, stored bytes, plain
 *                   bytes of the blob that holds them
 *   links:          varint: bytes; the target
 *
 * Before the first entry of a block stand: an empty path, empty owner and group, the time 0.
 */

const kinds = ['file', 'directory', 'symlink'] as const;
const largeMap = 4;
const sameOwner = 8;
const earlier = 16;
const identified = 32;
const allBits = 63;

/** Times further away are stored as this: the year 128,000. */
const maxModifiedMs = 4e15;
const maxTargetBytes = 4096;

/** Where an entry's file map is. */
export type MapPlace = FileMaps | { readonly count: number; readonly sumsCount: number; readonly blob: BlobLocation };

export interface DecodedEntry extends Omit<ManifestEntry, 'extents' | 'sums'> {
  readonly map: MapPlace;
}

/** Checks that entries follow each other as they must; gives what is wrong. One for a whole manifest. */
export class EntryOrder {
  #path: Uint8Array | undefined;
  #kind: ManifestEntry['kind'] = 'directory';
  #text = '';

  problem(path: Uint8Array, kind: ManifestEntry['kind'], text: string): string | undefined {
    const before = this.#path;
    const wrong = pathProblem(path);
    if (wrong !== undefined) return wrong;
    if (path.length === 0 && kind !== 'directory') return 'a data directory that is none';
    if (before) {
      const order = comparePaths(before, path);
      if (order === 0) return `"${text}" twice`;
      if (order > 0) return `"${text}" after "${this.#text}", out of order`;
      if (this.#kind !== 'directory' && liesBelow(path, before)) {
        if (this.#kind === 'file') return `"${text}" below a file`;
        if (!isTablespaceLink(this.#text)) return `"${text}" below a symbolic link`;
      }
    }
    this.#path = path;
    this.#kind = kind;
    this.#text = text;
    return undefined;
  }
}

export class EntryEncoder {
  readonly #into: ByteWriter;
  readonly #maps: FileMapEncoder;
  #path: Uint8Array = new Uint8Array(0);
  #owner = '';
  #group = '';
  #modifiedMs = 0;
  #bornMicros = 0;
  #changedMicros = 0;

  constructor(into: ByteWriter, maps: FileMapEncoder) {
    this.#into = into;
    this.#maps = maps;
  }

  encode(entry: ManifestEntry, path: Uint8Array, map: MapPlace): void {
    const into = this.#into;
    const modifiedMs = Math.max(-maxModifiedMs, Math.min(maxModifiedMs, Math.trunc(entry.modifiedMs)));
    const same = entry.owner === this.#owner && entry.group === this.#group;
    const isLarge = 'blob' in map;
    const isEarlier = modifiedMs < this.#modifiedMs;
    into.u8(
      kinds.indexOf(entry.kind) |
        (isLarge ? largeMap : 0) |
        (same ? sameOwner : 0) |
        (isEarlier ? earlier : 0) |
        (entry.identity ? identified : 0),
    );
    const shared = sharedPrefix(this.#path, path);
    into
      .varint(shared)
      .varint(path.length - shared)
      .bytes(path.subarray(shared));
    into.varint(entry.mode).varint(entry.flags);
    if (!same) into.text(entry.owner).text(entry.group);
    into.varint(Math.abs(modifiedMs - this.#modifiedMs));
    if (entry.kind === 'file') this.#encodeFile(entry, map);
    if (entry.kind === 'symlink') {
      const target = encodePath(entry.target ?? '');
      into.varint(target.length).bytes(target);
    }
    this.#path = path;
    this.#owner = entry.owner;
    this.#group = entry.group;
    this.#modifiedMs = modifiedMs;
  }

  #encodeFile(entry: ManifestEntry, map: MapPlace): void {
    const into = this.#into.varint(entry.sizeBytes).u32(entry.crc32c);
    if (entry.identity) this.#encodeIdentity(entry.identity);
    if ('blob' in map) {
      into.varint(map.count).varint(map.sumsCount);
      into.varint(map.blob.offset).varint(map.blob.storedBytes).varint(map.blob.plainBytes);
    } else {
      into.varint(map.extents.length).varint(map.sums.length);
      this.#maps.encode(map.extents, into);
      this.#maps.encode(map.sums, into);
    }
  }

  #encodeIdentity({ inode, bornMicros, changedMicros }: FileIdentity): void {
    this.#into
      .varint(inode)
      .varint(zigzag(bornMicros - this.#bornMicros))
      .varint(zigzag(changedMicros - this.#changedMicros));
    this.#bornMicros = bornMicros;
    this.#changedMicros = changedMicros;
  }
}

/** Decodes the entries of one block in turn. Fails through its reader. */
export class EntryDecoder {
  readonly #reader: BoundedReader;
  readonly #maps: FileMapDecoder;
  readonly #order: EntryOrder;
  #path: Uint8Array = new Uint8Array(0);
  #owner = '';
  #group = '';
  #modifiedMs = 0;
  #bornMicros = 0;
  #changedMicros = 0;

  constructor(reader: BoundedReader, maps: FileMapDecoder, order: EntryOrder) {
    this.#reader = reader;
    this.#maps = maps;
    this.#order = order;
  }

  decode(): DecodedEntry {
    const reader = this.#reader;
    const head = reader.u8();
    const kind = kinds[head & 3];
    if (kind === undefined || head > allBits || (head & (largeMap | identified) && kind !== 'file')) {
      return reader.fail('an entry of an unknown kind');
    }
    const path = this.#decodePath(kind);
    const mode = reader.varint();
    if (mode > 0o7777) reader.fail(`the mode ${mode.toString(8)}`);
    const flags = reader.varint();
    if (!(head & sameOwner)) {
      this.#owner = reader.text(256);
      this.#group = reader.text(256);
    }
    const distance = reader.varint();
    this.#modifiedMs += head & earlier ? -distance : distance;
    if (Math.abs(this.#modifiedMs) > maxModifiedMs) reader.fail('a time out of range');
    const base = { path, kind, mode, flags, owner: this.#owner, group: this.#group, modifiedMs: this.#modifiedMs };
    if (kind === 'file') return { ...base, ...this.#decodeFile(head, flags) };
    const none = { ...base, sizeBytes: 0, crc32c: 0, map: noMaps };
    return kind === 'symlink' ? { ...none, target: this.#decodeTarget() } : none;
  }

  #decodePath(kind: ManifestEntry['kind']): string {
    const reader = this.#reader;
    const shared = reader.varint();
    if (shared > this.#path.length) reader.fail('a path that shares more than the one before has');
    const path = Buffer.concat([this.#path.subarray(0, shared), reader.bytes(reader.varint())]);
    const text = decodePath(path);
    const problem = this.#order.problem(path, kind, text);
    if (problem !== undefined) reader.fail(problem);
    this.#path = path;
    return text;
  }

  #decodeFile(head: number, flags: number): Pick<DecodedEntry, 'sizeBytes' | 'crc32c' | 'identity' | 'map'> {
    const reader = this.#reader;
    const sizeBytes = reader.varint();
    const crc32c = reader.u32();
    const identity = head & identified ? { identity: this.#decodeIdentity() } : {};
    const count = reader.varint();
    const sumsCount = reader.varint();
    if (!(head & largeMap)) {
      return {
        sizeBytes,
        crc32c,
        ...identity,
        map: decodeMaps(reader, this.#maps, { count, sumsCount, sizeBytes, flags }),
      };
    }
    const blob = { offset: reader.varint(), storedBytes: reader.varint(), plainBytes: reader.varint() };
    if (blob.plainBytes > maxBlobBytes || count + sumsCount > blob.plainBytes || count > sizeBytes) {
      reader.fail(`maps of ${count} and ${sumsCount} extents in ${blob.plainBytes} bytes`);
    }
    return { sizeBytes, crc32c, ...identity, map: { count, sumsCount, blob } };
  }

  #decodeIdentity(): FileIdentity {
    const reader = this.#reader;
    const inode = reader.varint();
    this.#bornMicros += unzigzag(reader.varint());
    this.#changedMicros += unzigzag(reader.varint());
    if (!isTime(this.#bornMicros) || !isTime(this.#changedMicros)) reader.fail('a time out of range');
    return { inode, bornMicros: this.#bornMicros, changedMicros: this.#changedMicros };
  }

  #decodeTarget(): string {
    const length = this.#reader.varint();
    if (length === 0 || length > maxTargetBytes) this.#reader.fail(`a link's target of ${length} bytes`);
    const target = this.#reader.bytes(length);
    if (target.includes(0)) this.#reader.fail("a link's target with a NUL byte");
    return decodePath(target);
  }
}

const noMaps: FileMaps = { extents: [], sums: [] };

/** What a file's maps must hold. */
export interface ExpectedMaps {
  readonly count: number;
  readonly sumsCount: number;
  readonly sizeBytes: number;
  readonly flags: number;
}

/** Both maps of a file, one after the other. Fails through its reader. */
export function decodeMaps(reader: BoundedReader, maps: FileMapDecoder, expected: ExpectedMaps): FileMaps {
  const { count, sumsCount, sizeBytes, flags } = expected;
  const extents = maps.decode(reader, count, sizeBytes);
  const sums = maps.decode(reader, sumsCount, sumsCount === 0 ? 0 : sumsRunBytes(flags, count, sizeBytes));
  return { extents, sums };
}

/** Half of what a varint can hold. */
function isTime(micros: number): boolean {
  return Math.abs(micros) <= Number.MAX_SAFE_INTEGER / 4;
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}
