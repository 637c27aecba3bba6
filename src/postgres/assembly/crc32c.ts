// AssemblyScript, part of page-kernel.ts: CRC-32C (Castagnoli, reflected 0x82F63B78) without an instruction for it.
//
// A message is a polynomial over GF(2) of which only the remainder counts. So what comes early in it may be replaced by
// something later, as long as both have the same remainder:
//
//  - x^209 + x^144 + x^54 + x^39 + x^14 + 1 is a multiple of the CRC's polynomial, and so is, squared seven times, the same of
//    x^128. So a vector of 16 bytes is replaced by adding it to the vectors 65, 155, 170, 195 and 209 further on: six loads
//    for 16 bytes of a page, until 212 vectors are left.
//  - a byte is replaced by the remainder of itself times x^(8 * 67): four bytes, 64 to 67 further on. They are looked up
//    for 16 bytes at once, in tables of 16 entries: one for each byte of the remainder and each half of the byte.
//  - the last 64 bytes go through slicing by 8.
//
// Memory: tables of slicing at 1024 (8 x 1 KiB), those of half bytes at 9216 (4 x 2 x 16 bytes), the page under way at
// 43008 (8 KiB). That is half of 4 KiB away from where pages begin: a store would else look as though it stood in the way of a
// load that is 4 KiB apart.

const TABLES: usize = 1024;
const HALVES: usize = 9216;
const WORK: usize = 43008;
const PAGE: usize = 8192;
const END: usize = WORK + PAGE;
/** How far a byte is moved. */
const FAR: usize = 64;
/** Bytes of a page that are left when those before have been replaced by vectors. */
const LEFT: usize = 212 * 16;

/** Fills the tables. Call once. */
export function prepareCrc32c(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    store<u32>(TABLES + (i << 2), c);
  }
  for (let i: u32 = 0; i < 256; i++) {
    let c = load<u32>(TABLES + (i << 2));
    for (let t: u32 = 1; t < 8; t++) {
      c = table(0, c) ^ (c >>> 8);
      store<u32>(TABLES + (t << 10) + (i << 2), c);
    }
  }
  for (let i: u32 = 0; i < 32; i++) {
    let c = i < 16 ? i : (i - 16) << 4;
    for (let k: usize = 0; k < FAR; k++) c = table(0, c) ^ (c >>> 8);
    for (let byte: u32 = 0; byte < 4; byte++) store<u8>(HALVES + (byte << 5) + i, <u8>(c >>> (8 * byte)));
  }
}

// @ts-ignore: decorator
@inline
function table(t: u32, i: u32): u32 {
  return load<u32>(TABLES + (t << 10) + ((i & 0xff) << 2));
}

// @ts-ignore: decorator
@inline
function step(c: u32, word: u64): u32 {
  const a = <u32>word ^ c;
  const b = <u32>(word >>> 32);
  return (
    table(7, a) ^ table(6, a >>> 8) ^ table(5, a >>> 16) ^ table(4, a >>> 24) ^
    table(3, b) ^ table(2, b >>> 8) ^ table(1, b >>> 16) ^ table(0, b >>> 24)
  );
}

/** The `byte`th of the four bytes that replace each of a vector's, of which these are the halves. */
// @ts-ignore: decorator
@inline
function replacing(byte: usize, low: v128, high: v128): v128 {
  return v128.xor(
    i8x16.relaxed_swizzle(v128.load(HALVES + (byte << 5)), low),
    i8x16.relaxed_swizzle(v128.load(HALVES + (byte << 5) + 16), high),
  );
}

/** A vector one byte further on; `before` is the one before it. */
// @ts-ignore: decorator
@inline
function moved(before: v128, v: v128): v128 {
  return i8x16.shuffle(before, v, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
}

/** The register after what lies from `at` to the end of the page under way, a multiple of 64 and not 0. Uses it up. */
function fold(at: usize): u32 {
  const half = i8x16.splat(15);
  let first = i8x16.splat(0);
  let second = first;
  let third = first;
  for (const last = END - FAR; at < last; at += 16) {
    const v = v128.load(at);
    const low = v128.and(v, half);
    const high = v128.and(i16x8.shr_u(v, 4), half);
    const fourth = replacing(3, low, high);
    const three = v128.xor(replacing(2, low, high), moved(third, fourth));
    const two = v128.xor(replacing(1, low, high), moved(second, three));
    const one = v128.xor(replacing(0, low, high), moved(first, two));
    v128.store(at, v128.xor(v128.load(at, FAR), one), FAR);
    third = fourth;
    second = three;
    first = two;
  }
  let c: u32 = 0;
  for (; at < END; at += 8) c = step(c, load<u64>(at));
  // What was moved beyond the end lies where the four bytes of the CRC are.
  const beyond = <u32>i8x16.extract_lane_u(first, 15) | (<u32>i8x16.extract_lane_u(second, 15) << 8);
  return c ^ beyond ^ (<u32>i8x16.extract_lane_u(third, 15) << 16);
}

/** Vectors `from` to `to` of a page: with what is added to them by those before, as far as `taps` says. */
// @ts-ignore: decorator
@inline
function add(page: usize, from: usize, to: usize, taps: i32): void {
  for (let i: usize = from << 4; i < to << 4; i += 16) {
    let v = v128.load(page + i);
    if (taps & 1) v = v128.xor(v, v128.load(WORK - (65 << 4) + i));
    if (taps & 2) v = v128.xor(v, v128.load(WORK - (155 << 4) + i));
    if (taps & 4) v = v128.xor(v, v128.load(WORK - (170 << 4) + i));
    if (taps & 8) v = v128.xor(v, v128.load(WORK - (195 << 4) + i));
    if (taps & 16) v = v128.xor(v, v128.load(WORK - (209 << 4) + i));
    v128.store(WORK + i, v);
  }
}

/** The register after a page; `c`: the one before it. */
// @ts-ignore: decorator
@inline
function pageAfter(page: usize, c: u32): u32 {
  v128.store(WORK, v128.xor(v128.load(page), i32x4.replace_lane(i32x4.splat(0), 0, c)));
  add(page, 1, 65, 0);
  add(page, 65, 155, 1);
  add(page, 155, 170, 3);
  add(page, 170, 195, 7);
  add(page, 195, 209, 15);
  add(page, 209, 365, 31);
  // From vector 300 on they stay: nothing is added by those.
  add(page, 365, 455, 30);
  add(page, 455, 470, 28);
  add(page, 470, 495, 24);
  add(page, 495, 509, 16);
  add(page, 509, 512, 0);
  return fold(END - LEFT);
}

/** The same of less than a page. */
function restAfter(at: usize, length: usize, c: u32): u32 {
  if (length >= FAR) {
    // Zeros before everything change nothing.
    const padded = (length + FAR - 1) & ~(FAR - 1);
    memory.fill(END - padded, 0, padded - length);
    memory.copy(END - length, at, length);
    store<u32>(END - length, load<u32>(END - length) ^ c);
    return fold(END - padded);
  }
  const end = at + length;
  for (const end8 = at + (length & ~7); at < end8; at += 8) c = step(c, load<u64>(at));
  for (; at < end; at++) c = table(0, c ^ load<u8>(at)) ^ (c >>> 8);
  return c;
}

/** CRC-32C of `length` bytes at `at`, continuing `previous`. */
export function crc32c(at: usize, length: usize, previous: u32): u32 {
  let c: u32 = ~previous;
  for (const rest = at + length - (length % PAGE); at < rest; at += PAGE) c = pageAfter(at, c);
  return ~restAfter(at, length % PAGE, c);
}
