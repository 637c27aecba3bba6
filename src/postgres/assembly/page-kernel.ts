// AssemblyScript, compiled by scripts/build-kernels.sh into ../page-kernel.wasm.ts.
//
// Memory: CRC tables at 1024 (8 x 1 KiB), those that move a CRC by a lane at 9216 (4 x 1 KiB), numbers of bad pages
// at 16384 (u32 each, at most 4096), the end of a file that is padded at 512 (32 bytes), the caller's buffer from 65536.

const TABLES: usize = 1024;
const LANE_TABLES: usize = 9216;
/** Four lanes of this many bytes go side by side: one after the other, each step would wait for the one before. */
const LANE: usize = 2048;
const PAGE: usize = 8192;
const PADDED: usize = 512;
const PRIME: i32 = 16777619;

/** Fills the tables of slicing-by-8 for CRC-32C (Castagnoli, reflected 0x82F63B78), and those of the lanes. Call once. */
export function prepare(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    store<u32>(TABLES + (i << 2), c);
  }
  for (let i: u32 = 0; i < 256; i++) {
    let c = load<u32>(TABLES + (i << 2));
    for (let t: u32 = 1; t < 8; t++) {
      c = load<u32>(TABLES + ((c & 0xff) << 2)) ^ (c >>> 8);
      store<u32>(TABLES + (t << 10) + (i << 2), c);
    }
  }
  for (let t: u32 = 0; t < 4; t++) {
    for (let bit: u32 = 0; bit < 8; bit++) {
      let c: u32 = 1 << (t * 8 + bit);
      for (let k: usize = 0; k < LANE; k++) c = table(0, c) ^ (c >>> 8);
      // Moving is linear: an entry is the sum of those of its bits.
      for (let i: u32 = 0; i < <u32>1 << bit; i++) {
        const lower = load<u32>(LANE_TABLES + (t << 10) + (i << 2));
        store<u32>(LANE_TABLES + (t << 10) + ((i | (1 << bit)) << 2), lower ^ c);
      }
    }
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

// @ts-ignore: decorator
@inline
function moved(c: u32): u32 {
  return (
    load<u32>(LANE_TABLES + ((c & 0xff) << 2)) ^
    load<u32>(LANE_TABLES + 0x400 + (((c >>> 8) & 0xff) << 2)) ^
    load<u32>(LANE_TABLES + 0x800 + (((c >>> 16) & 0xff) << 2)) ^
    load<u32>(LANE_TABLES + 0xc00 + ((c >>> 24) << 2))
  );
}

/** CRC-32C of `length` bytes at `at`, continuing `previous`. */
export function crc32c(at: usize, length: usize, previous: u32): u32 {
  let c: u32 = ~previous;
  const end = at + length;
  const end8 = at + (length & ~7);
  for (const lanes = at + length - (length % (4 * LANE)); at < lanes; at += 3 * LANE) {
    let c1: u32 = 0;
    let c2: u32 = 0;
    let c3: u32 = 0;
    for (const lane = at + LANE; at < lane; at += 8) {
      c = step(c, load<u64>(at));
      c1 = step(c1, load<u64>(at, LANE));
      c2 = step(c2, load<u64>(at, 2 * LANE));
      c3 = step(c3, load<u64>(at, 3 * LANE));
    }
    c = moved(moved(moved(c) ^ c1) ^ c2) ^ c3;
  }
  for (; at < end8; at += 8) c = step(c, load<u64>(at));
  while (at < end) {
    c = table(0, c ^ load<u8>(at)) ^ (c >>> 8);
    at++;
  }
  return ~c;
}

// @ts-ignore: decorator
@inline
function products(sum: v128, at: usize, key: usize): v128 {
  const a = i32x4.add(v128.load(at), v128.load(key));
  const b = i32x4.add(v128.load(at, 16), v128.load(key, 16));
  return i64x2.add(i64x2.add(sum, i64x2.extmul_low_i32x4_u(a, b)), i64x2.extmul_high_i32x4_u(a, b));
}

// @ts-ignore: decorator
@inline
function storeSum(out: usize, crc: u32, sum: v128, length: usize, key: usize): void {
  const nh = <u64>i64x2.extract_lane(sum, 0) + <u64>i64x2.extract_lane(sum, 1) + <u64>length;
  store<u32>(out, crc);
  // The last 8 bytes of the key: a multiplier.
  store<u32>(out, <u32>((nh * (load<u64>(key, PAGE) | 1)) >>> 32), 4);
}

/**
 * For each 8 KiB of `length` bytes at `at`, the last maybe shorter: its CRC-32C, and its NH under the key of 8,200 bytes at
 * `key`; 8 bytes to `out`. Both in one loop: tables are looked up while the multiplications run.
 */
export function sums(at: usize, length: usize, key: usize, out: usize): void {
  const whole = at + length - (length % PAGE);
  for (; at < whole; at += PAGE, out += 8) {
    let c: u32 = ~0;
    let c1: u32 = 0;
    let c2: u32 = 0;
    let c3: u32 = 0;
    let sum = i64x2.splat(0);
    let lane = at;
    for (let i: usize = 0; i < PAGE; i += 32, lane += 8) {
      sum = products(sum, at + i, key + i);
      c = step(c, load<u64>(lane));
      c1 = step(c1, load<u64>(lane, LANE));
      c2 = step(c2, load<u64>(lane, 2 * LANE));
      c3 = step(c3, load<u64>(lane, 3 * LANE));
    }
    storeSum(out, ~(moved(moved(moved(c) ^ c1) ^ c2) ^ c3), sum, PAGE, key);
  }
  const rest = length % PAGE;
  if (rest == 0) return;
  let sum = i64x2.splat(0);
  const end32 = rest & ~31;
  for (let i: usize = 0; i < end32; i += 32) sum = products(sum, at + i, key + i);
  if (end32 < rest) {
    memory.fill(PADDED, 0, 32);
    memory.copy(PADDED, at + end32, rest - end32);
    sum = products(sum, PADDED, key + end32);
  }
  storeSum(out, crc32c(at, rest, 0), sum, rest, key);
}

// @ts-ignore: decorator
@inline
function mix(sum: v128, value: v128): v128 {
  const t = v128.xor(sum, value);
  return v128.xor(i32x4.mul(t, i32x4.splat(PRIME)), i32x4.shr_u(t, 17));
}

function checksum(page: usize, block: u32): u32 {
  let s0 = i32x4(0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a);
  let s1 = i32x4(0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c);
  let s2 = i32x4(0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa);
  let s3 = i32x4(0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb);
  let s4 = i32x4(0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de);
  let s5 = i32x4(0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4);
  let s6 = i32x4(0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e);
  let s7 = i32x4(0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756);
  // The checksum itself (bytes 8 and 9) counts as zero.
  let first = v128.and(v128.load(page), i32x4(-1, -1, 0xffff0000, -1));
  for (let at = page, end = page + PAGE; at < end; at += 128) {
    s0 = mix(s0, first);
    s1 = mix(s1, v128.load(at, 16));
    s2 = mix(s2, v128.load(at, 32));
    s3 = mix(s3, v128.load(at, 48));
    s4 = mix(s4, v128.load(at, 64));
    s5 = mix(s5, v128.load(at, 80));
    s6 = mix(s6, v128.load(at, 96));
    s7 = mix(s7, v128.load(at, 112));
    first = v128.load(at, 128);
  }
  const zero = i32x4.splat(0);
  for (let round = 0; round < 2; round++) {
    s0 = mix(s0, zero);
    s1 = mix(s1, zero);
    s2 = mix(s2, zero);
    s3 = mix(s3, zero);
    s4 = mix(s4, zero);
    s5 = mix(s5, zero);
    s6 = mix(s6, zero);
    s7 = mix(s7, zero);
  }
  const x = v128.xor(
    v128.xor(v128.xor(s0, s1), v128.xor(s2, s3)),
    v128.xor(v128.xor(s4, s5), v128.xor(s6, s7)),
  );
  const folded =
    i32x4.extract_lane(x, 0) ^ i32x4.extract_lane(x, 1) ^ i32x4.extract_lane(x, 2) ^ i32x4.extract_lane(x, 3);
  return ((<u32>folded ^ block) % 65535) + 1;
}

/**
 * Numbers (from 0) of those of `pages` pages at `at` whose checksum is wrong, written as u32 to `out`; the result
 * is how many. New pages and pages whose LSN is not before the start are passed over.
 */
export function verify(at: usize, pages: u32, firstBlock: u32, startHigh: u32, startLow: u32, out: usize): u32 {
  let bad: u32 = 0;
  const start = (<u64>startHigh << 32) | <u64>startLow;
  for (let i: u32 = 0; i < pages; i++, at += PAGE) {
    if (load<u16>(at, 14) == 0) continue;
    const pageLsn = (<u64>load<u32>(at) << 32) | <u64>load<u32>(at, 4);
    if (pageLsn >= start) continue;
    if (<u32>load<u16>(at, 8) == checksum(at, firstBlock + i)) continue;
    store<u32>(out + (bad << 2), i);
    bad++;
  }
  return bad;
}
