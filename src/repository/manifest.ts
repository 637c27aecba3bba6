import { sumsLength } from './block-sums.ts';
import type { Extent } from './file-map.ts';

/** One file, directory or symbolic link of a backup. */
export interface ManifestEntry {
  /**
   * Relative to the data directory, `/`-separated; `''` is the data directory itself. Bytes that are
   * not UTF-8 are carried as `path-text.ts` says.
   */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  /** Name of the user, or its number in decimal where it has no name. */
  readonly owner: string;
  readonly group: string;
  /** Milliseconds since 1970, UTC; an integer. */
  readonly modifiedMs: number;
  /** Of files; 0 for the others. */
  readonly sizeBytes: number;
  /** Of the plaintext of files; 0 for the others. */
  readonly crc32c: number;
  /** Where a symbolic link leads. */
  readonly target?: string;
  /** Of files, in order and without gaps from 0 to `sizeBytes`; none for the others. */
  readonly extents: readonly Extent[];
  /**
   * Where the sums of a file's blocks lie (block-sums.ts): a map of that run of bytes. With `entryFlags.chunkDigests` it is
   * a run of digests, 16 bytes for each extent. None where nobody took them.
   */
  readonly sums: readonly Extent[];
  /** Of a file, when it was found. */
  readonly identity?: FileIdentity;
  /** See `entryFlags`. */
  readonly flags: number;
}

/** What tells a file from another at the same path, and whether it was touched since. Times are microseconds since 1970. */
export interface FileIdentity {
  readonly inode: number;
  /** Birth time. */
  readonly bornMicros: number;
  /** Time of the last change of content or attributes (ctime). */
  readonly changedMicros: number;
}

/** Bits of `ManifestEntry.flags`. */
export const entryFlags = { badPageChecksums: 1, chunkDigests: 2 } as const;

/** Both maps of a file. */
export interface FileMaps {
  readonly extents: readonly Extent[];
  readonly sums: readonly Extent[];
}

export const chunkDigestBytes = 16;

/** How many bytes the sums of a file make. */
export function sumsRunBytes(flags: number, extentCount: number, sizeBytes: number): number {
  return flags & entryFlags.chunkDigests ? extentCount * chunkDigestBytes : sumsLength(sizeBytes);
}

/** An entry as it is read back: a large file map stays in the repository until it is asked for. */
export interface StoredEntry extends Omit<ManifestEntry, 'extents' | 'sums'> {
  /** `undefined` where the maps are large ones. */
  readonly maps: FileMaps | undefined;
  readonly extentCount: number;
  /** The maps, wherever they are. Throws `manifest-hostile`, `blob-damaged`. */
  readonly loadMaps: () => Promise<FileMaps>;
}

/** Maps of more extents than this, both together, are a blob of their own. */
export const maxInlineExtents = 64;

/** An attachment may have this much. */
export const maxAttachmentBytes = 67_108_864;
