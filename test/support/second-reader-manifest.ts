import { Bytes, check, roles, type Blob, type Sealed } from './second-reader-sealed.ts';
import { checkSums, crc32c, type SumKey } from './second-reader-sums.ts';

/* The second reader's manifests: docs/repository-format.md, "Manifest". */

export interface Entry {
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Bytes as latin1, so that no path is lost. */
  readonly path: string;
  readonly mode: number;
  readonly flags: number;
  readonly owner: string;
  readonly group: string;
  readonly modifiedMs: number;
  readonly target: string | undefined;
  readonly content: Buffer | undefined;
  readonly identity: Identity | undefined;
}

interface Identity {
  readonly inode: number;
  readonly bornMicros: number;
  readonly changedMicros: number;
}

interface Extent {
  readonly pack: number;
  readonly blob: Blob;
  readonly start: number;
  readonly length: number;
}

export function list<T>(reader: Bytes, one: () => T): T[] {
  return Array.from({ length: reader.count() }, one);
}

/** What the content of files is read from, and checked with. */
interface Source {
  readonly manifest: Sealed;
  readonly packs: readonly Sealed[];
  readonly key: SumKey;
}

export function readBlock(source: Source, block: { entries: number; blob: Blob }): Entry[] {
  const reader = new Bytes(source.manifest.open(block.blob, roles.content));
  const memories = { content: newMemory(), sums: newMemory() };
  const entries: Entry[] = [];
  let [path, owner, group, modifiedMs] = [Buffer.alloc(0), '', '', 0];
  let before: Identity = { inode: 0, bornMicros: 0, changedMicros: 0 };
  for (let left = block.entries; left > 0; left -= 1) {
    const head = reader.u8();
    const kind = (['file', 'directory', 'symlink'] as const)[head & 3];
    check(kind !== undefined && head < 64 && (kind === 'file' || (head & 36) === 0), 'an entry of an unknown kind');
    const shared = reader.varint();
    check(shared <= path.length, 'a path that shares too much');
    path = Buffer.concat([path.subarray(0, shared), reader.take(reader.varint())]);
    const [mode, flags] = [reader.varint(), reader.varint()];
    if (!(head & 8)) [owner, group] = [reader.text(), reader.text()];
    const distance = reader.varint();
    modifiedMs += head & 16 ? -distance : distance;
    const entry = { kind, path: path.toString('latin1'), mode, flags, owner, group, modifiedMs };
    let [content, target, identity]: [Buffer?, string?, Identity?] = [];
    if (kind === 'file') {
      const [size, crc] = [reader.varint(), reader.take(4).readUInt32LE()];
      if (head & 32) before = identity = readIdentity(reader, before, modifiedMs);
      content = readFile(reader, { large: (head & 4) !== 0, size, crc, flags }, source, memories);
    }
    if (kind === 'symlink') target = reader.take(reader.varint()).toString('utf8');
    entries.push({ ...entry, target, content, identity });
  }
  check(reader.left === 0, 'a block that is too long');
  return entries;
}

function readIdentity(reader: Bytes, before: Identity, modifiedMs: number): Identity {
  const inode = before.inode + zigzag(reader.varint());
  const bornMicros = before.bornMicros + zigzag(reader.varint());
  const changed = reader.varint();
  return { inode, bornMicros, changedMicros: changed === 0 ? 0 : modifiedMs * 1000 + zigzag(changed - 1) };
}

function zigzag(n: number): number {
  return n % 2 === 0 ? n / 2 : -(n + 1) / 2;
}

function readFile(
  reader: Bytes,
  file: { large: boolean; size: number; crc: number; flags: number },
  source: Source,
  memories: { content: ExtentMemory; sums: ExtentMemory },
): Buffer {
  const { size, crc, flags } = file;
  const [count, sumsCount] = [reader.varint(), reader.varint()];
  const from = file.large ? new Bytes(source.manifest.open(reader.blob(), roles.content)) : reader;
  const content = joined(readExtents(from, count, file.large ? newMemory() : memories.content), source);
  const sums = joined(readExtents(from, sumsCount, file.large ? newMemory() : memories.sums), source);
  if (file.large) check(from.left === 0, 'maps that are too long');
  check(content.length === size && crc32c(content) === crc, 'a file that is not what was read');
  if (flags & 2) check(sumsCount === 0 || sums.length === count * 16, 'another number of digests than of extents');
  else if (sumsCount > 0) checkSums(sums, content, source.key);
  return content;
}

function joined(extents: readonly Extent[], { packs }: Source): Buffer {
  return Buffer.concat(
    extents.map(({ pack, blob, start, length }) => {
      const sealed = packs[pack];
      check(sealed !== undefined, 'an extent in a pack that is not listed');
      return sealed.open(blob, roles.content).subarray(start, start + length);
    }),
  );
}

/** What extents are told by: the present pack, and of each the last blob and where the extent in it ended. */
interface ExtentMemory {
  pack: number | undefined;
  readonly last: Map<number, Blob & { readonly end: number }>;
}

function newMemory(): ExtentMemory {
  return { pack: undefined, last: new Map() };
}

function readExtents(reader: Bytes, count: number, memory: ExtentMemory): Extent[] {
  const extents: Extent[] = [];
  for (let left = count; left > 0; left -= 1) {
    const head = reader.u8();
    check(head < 64 && (head & 36) !== 36, 'an extent with unknown bits');
    if (head & 1) memory.pack = reader.varint();
    const { pack } = memory;
    check(pack !== undefined, 'a first extent without a pack');
    const last = memory.last.get(pack) ?? { offset: 0, stored: 0, plain: 0, end: 0 };
    let blob: Blob = last;
    if (!(head & 16)) {
      const offset = head & 2 ? reader.varint() : last.offset + last.stored;
      const stored = reader.varint();
      blob = { offset, stored, plain: head & 8 ? reader.varint() : last.plain };
    }
    check(blob.plain >= 1 && blob.plain <= 1_048_576 && blob.stored > 16, 'an impossible blob');
    let start = 0;
    if (head & 4) start = reader.varint();
    if (head & 32 && head & 16) start = last.end;
    const length = head & 36 ? reader.varint() : blob.plain;
    check(length >= 1 && start + length <= blob.plain, 'an extent beyond its blob');
    memory.last.set(pack, { ...blob, end: start + length });
    extents.push({ pack, blob, start, length });
  }
  return extents;
}
