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
  /** See `entryFlags`. */
  readonly flags: number;
}

/** Bits of `ManifestEntry.flags`. */
export const entryFlags = { badPageChecksums: 1 } as const;

/** An entry as it is read back: a large file map stays in the repository until it is asked for. */
export interface StoredEntry extends Omit<ManifestEntry, 'extents'> {
  /** `undefined` where the map is one of the large ones. */
  readonly extents: readonly Extent[] | undefined;
  readonly extentCount: number;
  /** The file map, wherever it is. Throws `manifest-hostile`, `blob-damaged`. */
  readonly loadExtents: () => Promise<readonly Extent[]>;
}

/** Maps of more extents than this are blobs of their own. */
export const maxInlineExtents = 64;

/** An attachment may have this much. */
export const maxAttachmentBytes = 67_108_864;
