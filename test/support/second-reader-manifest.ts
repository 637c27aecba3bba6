import { Bytes, check, roles, type Blob, type Sealed } from './second-reader-sealed.ts';

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

export function readBlock(manifest: Sealed, packs: readonly Sealed[], block: { entries: number; blob: Blob }): Entry[] {
  const reader = new Bytes(manifest.open(block.blob, roles.content));
  const memory: ExtentMemory = { pack: undefined, last: new Map() };
  const entries: Entry[] = [];
  let [path, owner, group, modifiedMs] = [Buffer.alloc(0), '', '', 0];
  for (let left = block.entries; left > 0; left -= 1) {
    const head = reader.u8();
    const kind = (['file', 'directory', 'symlink'] as const)[head & 3];
    check(kind !== undefined && head < 32, 'an entry of an unknown kind');
    const shared = reader.varint();
    check(shared <= path.length, 'a path that shares too much');
    path = Buffer.concat([path.subarray(0, shared), reader.take(reader.varint())]);
    const [mode, flags] = [reader.varint(), reader.varint()];
    if (!(head & 8)) [owner, group] = [reader.text(), reader.text()];
    const distance = reader.varint();
    modifiedMs += head & 16 ? -distance : distance;
    const content = kind === 'file' ? readFile(reader, (head & 4) !== 0, { manifest, packs, memory }) : undefined;
    const target = kind === 'symlink' ? reader.take(reader.varint()).toString('utf8') : undefined;
    entries.push({ kind, path: path.toString('latin1'), mode, flags, owner, group, modifiedMs, target, content });
  }
  check(reader.left === 0, 'a block that is too long');
  return entries;
}

function readFile(
  reader: Bytes,
  large: boolean,
  from: { manifest: Sealed; packs: readonly Sealed[]; memory: ExtentMemory },
): Buffer {
  const size = reader.varint();
  const crc = reader.take(4).readUInt32LE();
  const count = reader.varint();
  let extents: Extent[];
  if (large) {
    const map = new Bytes(from.manifest.open(reader.blob(), roles.content));
    extents = readExtents(map, count, { pack: undefined, last: new Map() });
    check(map.left === 0, 'a map that is too long');
  } else {
    extents = readExtents(reader, count, from.memory);
  }
  const content = Buffer.concat(
    extents.map(({ pack, blob, start, length }) => {
      const sealed = from.packs[pack];
      check(sealed !== undefined, 'an extent in a pack that is not listed');
      return sealed.open(blob, roles.content).subarray(start, start + length);
    }),
  );
  check(content.length === size && crc32c(content) === crc, 'a file that is not what was read');
  return content;
}

/** What extents are told by: the present pack, and the last blob of each. */
interface ExtentMemory {
  pack: number | undefined;
  readonly last: Map<number, Blob>;
}

function readExtents(reader: Bytes, count: number, memory: ExtentMemory): Extent[] {
  const extents: Extent[] = [];
  for (let left = count; left > 0; left -= 1) {
    const head = reader.u8();
    check(head < 32, 'an extent with unknown bits');
    if (head & 1) memory.pack = reader.varint();
    const { pack } = memory;
    check(pack !== undefined, 'a first extent without a pack');
    const last = memory.last.get(pack) ?? { offset: 0, stored: 0, plain: 0 };
    let blob = last;
    if (!(head & 16)) {
      const offset = head & 2 ? reader.varint() : last.offset + last.stored;
      const stored = reader.varint();
      blob = { offset, stored, plain: head & 8 ? reader.varint() : last.plain };
    }
    check(blob.plain >= 1 && blob.plain <= 1_048_576 && blob.stored > 16, 'an impossible blob');
    memory.last.set(pack, blob);
    const start = head & 4 ? reader.varint() : 0;
    const length = head & 4 ? reader.varint() : blob.plain;
    check(length >= 1 && start + length <= blob.plain, 'an extent beyond its blob');
    extents.push({ pack, blob, start, length });
  }
  return extents;
}

/** Bit by bit, as the definition has it. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
