import { BoundedReader } from '../bytes/bounded-reader.ts';
import type { ByteWriter } from '../bytes/byte-writer.ts';
import { decodeIdentity, encodeIdentity, isCodable, noIdentity } from './file-identity.ts';
import type { MapsDecoder, MapsEncoder } from './file-maps.ts';
import type { FileIdentity, FileMaps, ManifestEntry } from './manifest.ts';
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
 *   files:          varint: size; u32: CRC-32C; with bit 5 the identity (file-identity.ts); varints: number of extents,
 *                   number of those of the sums; then the extents of both (file-maps.ts), or, with bit 2, varints:
 *                   offset, stored bytes, plain bytes of the blob that holds them
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

const noMaps: FileMaps = { extents: [], sums: [] };

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
  readonly #maps: MapsEncoder;
  #path: Uint8Array = new Uint8Array(0);
  #owner = '';
  #group = '';
  #modifiedMs = 0;
  #identity = noIdentity;

  constructor(into: ByteWriter, maps: MapsEncoder) {
    this.#into = into;
    this.#maps = maps;
  }

  encode(entry: ManifestEntry, path: Uint8Array, map: MapPlace): void {
    const into = this.#into;
    const modifiedMs = Math.max(-maxModifiedMs, Math.min(maxModifiedMs, Math.trunc(entry.modifiedMs)));
    const same = entry.owner === this.#owner && entry.group === this.#group;
    const isLarge = 'blob' in map;
    const isEarlier = modifiedMs < this.#modifiedMs;
    const identity = this.#codable(entry, modifiedMs);
    into.u8(
      kinds.indexOf(entry.kind) |
        (isLarge ? largeMap : 0) |
        (same ? sameOwner : 0) |
        (isEarlier ? earlier : 0) |
        (identity ? identified : 0),
    );
    const shared = sharedPrefix(this.#path, path);
    into
      .varint(shared)
      .varint(path.length - shared)
      .bytes(path.subarray(shared));
    into.varint(entry.mode).varint(entry.flags);
    if (!same) into.text(entry.owner).text(entry.group);
    into.varint(Math.abs(modifiedMs - this.#modifiedMs));
    if (entry.kind === 'file') {
      into.varint(entry.sizeBytes).u32(entry.crc32c);
      if (identity) encodeIdentity(identity, this.#identity, modifiedMs, into);
      this.#encodeMaps(map);
    }
    if (entry.kind === 'symlink') {
      const target = encodePath(entry.target ?? '');
      into.varint(target.length).bytes(target);
    }
    this.#path = path;
    this.#owner = entry.owner;
    this.#group = entry.group;
    this.#modifiedMs = modifiedMs;
    this.#identity = identity ?? this.#identity;
  }

  #codable({ kind, identity }: ManifestEntry, modifiedMs: number): FileIdentity | undefined {
    if (kind !== 'file' || !identity) return undefined;
    return isCodable(identity, this.#identity, modifiedMs) ? identity : undefined;
  }

  #encodeMaps(map: MapPlace): void {
    const into = this.#into;
    if ('blob' in map) {
      into.varint(map.count).varint(map.sumsCount);
      into.varint(map.blob.offset).varint(map.blob.storedBytes).varint(map.blob.plainBytes);
    } else {
      into.varint(map.extents.length).varint(map.sums.length);
      this.#maps.encode(map, into);
    }
  }
}

/** Decodes the entries of one block in turn. Fails through its reader. */
export class EntryDecoder {
  readonly #reader: BoundedReader;
  readonly #maps: MapsDecoder;
  readonly #order: EntryOrder;
  #path: Uint8Array = new Uint8Array(0);
  #owner = '';
  #group = '';
  #modifiedMs = 0;
  #identity = noIdentity;

  constructor(reader: BoundedReader, maps: MapsDecoder, order: EntryOrder) {
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
    if (head & identified) this.#identity = decodeIdentity(reader, this.#identity, this.#modifiedMs);
    const identity = head & identified ? { identity: this.#identity } : {};
    const count = reader.varint();
    const sumsCount = reader.varint();
    if (!(head & largeMap)) {
      const map = this.#maps.decode(reader, { count, sumsCount, sizeBytes, flags });
      return { sizeBytes, crc32c, ...identity, map };
    }
    const blob = { offset: reader.varint(), storedBytes: reader.varint(), plainBytes: reader.varint() };
    if (blob.plainBytes > maxBlobBytes || count + sumsCount > blob.plainBytes || count > sizeBytes) {
      reader.fail(`maps of ${count} and ${sumsCount} extents in ${blob.plainBytes} bytes`);
    }
    return { sizeBytes, crc32c, ...identity, map: { count, sumsCount, blob } };
  }

  #decodeTarget(): string {
    const length = this.#reader.varint();
    if (length === 0 || length > maxTargetBytes) this.#reader.fail(`a link's target of ${length} bytes`);
    const target = this.#reader.bytes(length);
    if (target.includes(0)) this.#reader.fail("a link's target with a NUL byte");
    return decodePath(target);
  }
}
