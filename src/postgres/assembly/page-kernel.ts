// AssemblyScript, compiled by scripts/build-kernels.sh into ../page-kernel.wasm.ts.
//
// Memory: the CRC's from 1024 to 9344 and from 43008 to 51200 (crc32c.ts), the end of a file that is padded at 512 (32
// bytes), the numbers of bytes at 10240 (gear.ts), numbers of bad pages at 16384 (u32 each, at most 4096), the compiler's from 32768, the caller's buffer from 65536.

import { crc32c as crc, prepareCrc32c } from './crc32c';
import { endOfChunk as end } from './gear';

const PADDED: usize = 512;
const PAGE: usize = 8192;
const PRIME: i32 = 16777619;

/** Call once. */
export function prepare(): void {
  prepareCrc32c();
}

/** CRC-32C of `length` bytes at `at`, continuing `previous`. */
export function crc32c(at: usize, length: usize, previous: u32): u32 {
  return crc(at, length, previous);
}

/** Where a chunk ends: gear.ts. */
export function endOfChunk(at: usize, limit: usize, shift: u32): usize {
  return end(at, limit, shift);
}

/** Adds the products of the words of 32 bytes, each with the key's word added: NH, as in UMAC (RFC 4418, 5.2.2). */
// @ts-ignore: decorator
@inline
function products(sum: v128, at: usize, key: usize): v128 {
  const a = i32x4.add(v128.load(at), v128.load(key));
  const b = i32x4.add(v128.load(at, 16), v128.load(key, 16));
  return i64x2.add(i64x2.add(sum, i64x2.extmul_low_i32x4_u(a, b)), i64x2.extmul_high_i32x4_u(a, b));
}

/** The keyed hash of a block of `length` bytes at `at`, at most a page. */
function hash(at: usize, length: usize, key: usize): u32 {
  let even = i64x2.splat(0);
  let odd = even;
  let i: usize = 0;
  for (const whole = length & ~63; i < whole; i += 64) {
    even = products(even, at + i, key + i);
    odd = products(odd, at + i + 32, key + i + 32);
  }
  if (length - i >= 32) {
    even = products(even, at + i, key + i);
    i += 32;
  }
  if (i < length) {
    memory.fill(PADDED, 0, 32);
    memory.copy(PADDED, at + i, length - i);
    odd = products(odd, PADDED, key + i);
  }
  const sum = i64x2.add(even, odd);
  const nh = <u64>i64x2.extract_lane(sum, 0) + <u64>i64x2.extract_lane(sum, 1) + <u64>length;
  const low = (nh & 0xffffffff) * load<u64>(key, PAGE);
  const high = (nh >>> 32) * load<u64>(key, PAGE + 8);
  return <u32>((low + high + load<u64>(key, PAGE + 16)) >>> 32);
}

/**
 * For each 8 KiB of `length` bytes at `at`, the last maybe shorter: its CRC-32C, and its hash under the key of 8,216 bytes
 * at `key`; 8 bytes to `out`.
 */
export function sums(at: usize, length: usize, key: usize, out: usize): void {
  for (const end = at + length; at < end; at += PAGE, out += 8) {
    const block = min(PAGE, end - at);
    store<u32>(out, crc(at, block, 0));
    store<u32>(out, hash(at, block, key), 4);
  }
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
