import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * The header of a member of a tar archive, after POSIX (pax, "ustar Interchange Format"), as PostgreSQL writes and reads it
 * (port/tar.c, fe_utils/astreamer_tar.c):
 *
 *   at   bytes                             at   bytes
 *    0    100   name                       257      6   "ustar", zero
 *  100      8   mode                       263      2   "00"
 *  108      8   uid                        265     32   name of the user
 *  116      8   gid                        297     32   name of the group
 *  124     12   size                       329      8   device, major
 *  136     12   time of change, Unix s     337      8   device, minor
 *  148      8   checksum                   345    155   prefix: what comes before the name, and a slash
 *  156      1   type                       500     12   zeros
 *  157    100   target of a link
 *
 * Numbers are octal digits; one that is too large for them has its first bit set and is binary, big-endian (GNU's base-256,
 * which PostgreSQL has, too). A name that fits neither name nor prefix, and a target that is too long, come before the
 * member as one of GNU's own, of type L or K, whose content they are. Names are bytes, of whatever encoding.
 */

export const tarBlockBytes = 512;

export type TarKind = 'file' | 'directory' | 'symlink';

export interface TarMember {
  readonly kind: TarKind;
  /** Relative, without a slash at the end. */
  readonly name: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** At most 31 bytes count. */
  readonly user: string;
  readonly group: string;
  /** Unix seconds. */
  readonly modifiedAt: number;
  /** Of files. */
  readonly sizeBytes: number;
  /** Of symbolic links. */
  readonly target?: Uint8Array;
}

/** What one header block says. */
export interface TarHeader extends Omit<TarMember, 'kind'> {
  /** `long-name` and `long-target`: the content is the name or the target of the member that follows. */
  readonly kind: TarKind | 'long-name' | 'long-target' | 'other';
}

/** PostgreSQL reads a name up to the zero behind it. */
const mostNameBytes = 99;
const mostPrefixBytes = 155;
const mostTargetBytes = 99;

const types: Readonly<Record<TarHeader['kind'], string>> = {
  file: '0',
  symlink: '2',
  directory: '5',
  'long-name': 'L',
  'long-target': 'K',
  other: '',
};

/** The header of a member, in blocks; its content follows, then `tarPadding`. */
export function encodeTarHeader(member: TarMember): Uint8Array {
  const { kind, target = new Uint8Array(0) } = member;
  const name = kind === 'directory' ? Buffer.concat([member.name, Buffer.from('/')]) : member.name;
  const parts: Uint8Array[] = [];
  if (target.length > mostTargetBytes) parts.push(...longMember('long-target', target));
  let split: { readonly name: Uint8Array; readonly prefix: Uint8Array } = { name, prefix: new Uint8Array(0) };
  if (name.length > mostNameBytes) {
    const found = splitName(name);
    if (found) split = found;
    else {
      parts.push(...longMember('long-name', name));
      split = { name: name.subarray(0, mostNameBytes), prefix: new Uint8Array(0) };
    }
  }
  const sizeBytes = kind === 'file' ? member.sizeBytes : 0;
  parts.push(block({ ...member, ...split, sizeBytes, target: target.subarray(0, mostTargetBytes) }));
  return Buffer.concat(parts);
}

/** How many zeros follow a content of that many bytes. */
export function tarPadding(sizeBytes: number): number {
  return (tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes;
}

/** What an archive ends with: two blocks of zeros. */
export const tarEndBytes = 2 * tarBlockBytes;

/** At a slash, so that both parts fit; readers put it back. */
function splitName(name: Uint8Array): { readonly name: Uint8Array; readonly prefix: Uint8Array } | undefined {
  // A directory's own slash at the end is none to split at.
  const at = Buffer.from(name).indexOf('/', name.length - mostNameBytes - 1);
  if (at <= 0 || at > mostPrefixBytes || at >= name.length - 1) return undefined;
  return { name: name.subarray(at + 1), prefix: name.subarray(0, at) };
}

function longMember(kind: 'long-name' | 'long-target', text: Uint8Array): Uint8Array[] {
  const sizeBytes = text.length + 1;
  const header = { mode: 0, uid: 0, gid: 0, user: '', group: '', modifiedAt: 0 };
  return [
    block({ ...header, kind, name: Buffer.from('././@LongLink'), sizeBytes }),
    text,
    new Uint8Array(1 + tarPadding(sizeBytes)),
  ];
}

function block(header: TarHeader & { readonly prefix?: Uint8Array }): Uint8Array {
  const bytes = Buffer.alloc(tarBlockBytes);
  bytes.set(header.name, 0);
  writeNumber(bytes, 100, 8, header.mode & 0o7777);
  writeNumber(bytes, 108, 8, header.uid);
  writeNumber(bytes, 116, 8, header.gid);
  writeNumber(bytes, 124, 12, header.sizeBytes);
  writeNumber(bytes, 136, 12, Math.max(0, Math.floor(header.modifiedAt)));
  bytes.write(types[header.kind], 156, 'latin1');
  if (header.target) bytes.set(header.target, 157);
  bytes.write('ustar\x0000', 257, 'latin1');
  bytes.set(Buffer.from(header.user).subarray(0, 31), 265);
  bytes.set(Buffer.from(header.group).subarray(0, 31), 297);
  writeNumber(bytes, 329, 8, 0);
  writeNumber(bytes, 337, 8, 0);
  if (header.prefix) bytes.set(header.prefix, 345);
  bytes.write(`${checksumOf(bytes).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

function writeNumber(bytes: Buffer, at: number, length: number, value: number): void {
  if (value < 8 ** (length - 1)) {
    bytes.write(`${value.toString(8).padStart(length - 1, '0')} `, at, 'latin1');
    return;
  }
  bytes.writeBigUInt64BE(BigInt(value), at + length - 8);
  bytes[at] = (bytes[at] ?? 0) | 0x80;
}

/** The sum of all bytes, with blanks in the place of the checksum itself. */
function checksumOf(bytes: Uint8Array): number {
  let sum = 8 * 0x20;
  for (const [i, byte] of bytes.entries()) if (i < 148 || i >= 156) sum += byte;
  return sum;
}

/** `undefined` for a block of zeros, with which an archive ends. Throws `decode`. */
export function decodeTarHeader(bytes: Uint8Array): TarHeader | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length !== tarBlockBytes) fail(`a header of ${buffer.length} bytes`);
  if (buffer.every((byte) => byte === 0)) return undefined;
  const stored = readNumber(buffer, 148, 8, 'checksum');
  const computed = checksumOf(buffer);
  if (stored !== computed) fail(`its checksum is ${stored}, computed ${computed}`);
  const type = buffer.toString('latin1', 156, 157);
  // Archives of old have a zero for files.
  const kind = type === '\0' ? 'file' : (kindsByType.get(type) ?? 'other');
  const isPosix = buffer.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? textAt(buffer, 345, mostPrefixBytes) : Buffer.alloc(0);
  const own = textAt(buffer, 0, 100);
  const whole = prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), own]) : own;
  const target = textAt(buffer, 157, 100);
  return {
    kind,
    name: kind === 'directory' && whole.at(-1) === 0x2f ? whole.subarray(0, -1) : whole,
    mode: readNumber(buffer, 100, 8, 'mode'),
    uid: readNumber(buffer, 108, 8, 'uid'),
    gid: readNumber(buffer, 116, 8, 'gid'),
    user: textAt(buffer, 265, 32).toString('utf8'),
    group: textAt(buffer, 297, 32).toString('utf8'),
    modifiedAt: readNumber(buffer, 136, 12, 'time'),
    sizeBytes: readNumber(buffer, 124, 12, 'size'),
    ...(target.length > 0 ? { target } : {}),
  };
}

const kindsByType = new Map(
  Object.entries(types)
    .filter(([, type]) => type !== '')
    .map(([kind, type]) => [type, kind as TarHeader['kind']]),
);

/** Up to the first zero. */
function textAt(bytes: Buffer, at: number, length: number): Buffer {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

function readNumber(bytes: Buffer, at: number, length: number, what: string): number {
  if (((bytes[at] ?? 0) & 0x80) !== 0) {
    let value = BigInt((bytes[at] ?? 0) & 0x7f);
    for (const byte of bytes.subarray(at + 1, at + length)) value = (value << 8n) | BigInt(byte);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) fail(`a ${what} of ${value}`);
    return Number(value);
  }
  const text = bytes
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .replace(/^ +/, '');
  if (!/^[0-7]*$/.test(text)) fail(`its ${what} is ${JSON.stringify(text)}`);
  return text === '' ? 0 : Number.parseInt(text, 8);
}

function fail(problem: string): never {
  throw new PgrecallError('decode', `header of a tar member: ${problem}`);
}
