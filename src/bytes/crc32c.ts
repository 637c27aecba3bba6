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
  if (lengthB === 0) return a;
  let power = squareOf(oneZeroBit());
  power = squareOf(power);
  // `power` moves a CRC by four zero bits; each squaring doubles that.
  let rest = lengthB;
  let c = a;
  do {
    power = squareOf(power);
    if (rest % 2 === 1) c = apply(power, c);
    rest = Math.floor(rest / 2);
  } while (rest > 0);
  return (c ^ b) >>> 0;
}

/** CRC-32C of so many zero bytes. */
export function crc32cOfZeros(lengthBytes: number): number {
  return ~crc32cCombine(0xffff_ffff, 0, lengthBytes) >>> 0;
}

/** The effect of one zero bit on a CRC, as a matrix over GF(2): 32 columns. */
function oneZeroBit(): Uint32Array {
  const matrix = new Uint32Array(32);
  matrix[0] = 0x82f6_3b78;
  for (let i = 1; i < 32; i += 1) matrix[i] = 2 ** (i - 1);
  return matrix;
}

function apply(matrix: Uint32Array, vector: number): number {
  let sum = 0;
  for (let i = 0, rest = vector >>> 0; rest !== 0; i += 1, rest >>>= 1) if (rest & 1) sum ^= matrix[i] ?? 0;
  return sum >>> 0;
}

function squareOf(matrix: Uint32Array): Uint32Array {
  return matrix.map((column) => apply(matrix, column));
}
