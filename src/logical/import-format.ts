import { decodeTarHeader } from '../tar/tar-header.ts';

/* What a file is, by how it begins: names of files are not to be relied on. */

export type OuterCompression = 'none' | 'gzip' | 'zstd';

/** So many bytes tell it all. */
export const headBytes = 512;

/** Methods that pgrecall has no decompressor for are told by name. */
const magics: readonly (readonly [method: OuterCompression | 'lz4' | 'xz' | 'bzip2' | 'zip', magic: string])[] = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['lz4', '04224d18'],
  ['xz', 'fd377a585a00'],
  ['bzip2', '425a68'],
  ['zip', '504b0304'],
];

export function compressionOf(head: Uint8Array): (typeof magics)[number][0] {
  const hex = Buffer.from(head.subarray(0, 8)).toString('hex');
  return magics.find(([, magic]) => hex.startsWith(magic))?.[0] ?? 'none';
}

/** `script`: of pg_dump; `cluster-script`: of pg_dumpall. */
export type ContentKind = 'custom' | 'tar' | 'script' | 'cluster-script';

/** Undefined for what pg_dump has not made. */
export function contentKindOf(head: Uint8Array): ContentKind | undefined {
  const text = Buffer.from(head).toString('latin1');
  if (text.startsWith('PGDMP')) return 'custom';
  if (/^--\r?\n-- PostgreSQL database dump\r?\n/.test(text)) return 'script';
  if (/^--\r?\n-- PostgreSQL database cluster dump\r?\n/.test(text)) return 'cluster-script';
  return isTar(head) ? 'tar' : undefined;
}

/** One of pg_dump begins with its table of contents. */
function isTar(head: Uint8Array): boolean {
  if (head.length < headBytes) return false;
  try {
    return Buffer.from(decodeTarHeader(head.subarray(0, headBytes))?.name ?? []).toString() === 'toc.dat';
  } catch {
    return false;
  }
}
