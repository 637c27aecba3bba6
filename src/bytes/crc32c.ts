/*
 * CRC-32C (Castagnoli), as PostgreSQL's pg_crc32c: begins with all ones, ends with their complement.
 * Slicing-by-8: eight tables, eight bytes a step.
 */

/** Made when first used: 5 ms, which a start that checks nothing does not have to pay. */
let tables: Uint32Array | undefined;

function makeTables(): Uint32Array {
  const made = new Uint32Array(8 * 256);
  for (let i = 0; i < 256; i += 1) {
    let c = i;
    for (let k = 0; k < 8; k += 1) c = c & 1 ? (c >>> 1) ^ 0x82f6_3b78 : c >>> 1;
    made[i] = c >>> 0;
  }
  for (let i = 256; i < made.length; i += 1) {
    const before = made[i - 256] ?? 0;
    made[i] = ((made[before & 0xff] ?? 0) ^ (before >>> 8)) >>> 0;
  }
  return made;
}

/** CRC-32C of `bytes`, continuing that of the bytes before (`previous`; 0 for none). Unsigned. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  return crc32cRange(bytes, 0, bytes.length, previous);
}

/** The same of `bytes[start, end)`, without making a view of them. */
export function crc32cRange(bytes: Uint8Array, start: number, end: number, previous = 0): number {
  tables ??= makeTables();
  const t = tables;
  let c = ~previous;
  let at = start;
  for (const end8 = start + ((end - start) & ~7); at < end8; at += 8) {
    c ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    c =
      t[1792 + (c & 0xff)]! ^
      t[1536 + ((c >>> 8) & 0xff)]! ^
      t[1280 + ((c >>> 16) & 0xff)]! ^
      t[1024 + (c >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < end; at += 1) c = t[(c ^ bytes[at]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}

/** CRC-32C of A followed by B, from those of each and the length of B (as zlib's crc32_combine does it). */
export function crc32cCombine(a: number, b: number, lengthB: number): number {
  return (multiply(powerOfX(lengthB), a) ^ b) >>> 0;
}

/** CRC-32C of so many zero bytes. */
export function crc32cOfZeros(lengthBytes: number): number {
  return ~crc32cCombine(0xffff_ffff, 0, lengthBytes) >>> 0;
}

/** Tables for `moveCrc32c` by so many bytes: one for each byte of a CRC. */
export function crc32cMover(lengthBytes: number): Uint32Array {
  const power = powerOfX(lengthBytes);
  return Uint32Array.from({ length: 4 * 256 }, (_, i) => multiply(power, (i & 0xff) << (8 * (i >> 8))));
}

/** What a CRC becomes when so many bytes follow, but for what those contribute: `crc32cCombine` by table. Maybe negative. */
export function moveCrc32c(crc: number, mover: Uint32Array): number {
  return (
    mover[crc & 0xff]! ^
    mover[256 + ((crc >>> 8) & 0xff)]! ^
    mover[512 + ((crc >>> 16) & 0xff)]! ^
    mover[768 + (crc >>> 24)]!
  );
}

/*
 * CRCs are polynomials over GF(2) modulo that of CRC-32C; the highest bit is the coefficient of x^0. What follows moves a CRC
 * by a power of x.
 */

/** x^1, x^2, x^4, x^8 and so on. Made when first used. */
let squares: Uint32Array | undefined;

function makeSquares(): Uint32Array {
  const made = new Uint32Array(56);
  made[0] = 0x4000_0000;
  for (let i = 1; i < made.length; i += 1) made[i] = multiply(made[i - 1]!, made[i - 1]!);
  return made;
}

/** x^(8 * lengthBytes). */
function powerOfX(lengthBytes: number): number {
  squares ??= makeSquares();
  let power = 0x8000_0000;
  for (let rest = lengthBytes, i = 3; rest > 0; rest = Math.floor(rest / 2), i += 1) {
    if (rest % 2 === 1) power = multiply(squares[i]!, power);
  }
  return power;
}

function multiply(a: number, b: number): number {
  let product = 0;
  let moved = b;
  for (let rest = a | 0; rest !== 0; rest <<= 1) {
    if (rest < 0) product ^= moved;
    moved = moved & 1 ? (moved >>> 1) ^ 0x82f6_3b78 : moved >>> 1;
  }
  return product >>> 0;
}
