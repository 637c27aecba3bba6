import { lsn, type Lsn } from './lsn.ts';

/*
 * The page header, after storage/bufpage.h: pd_lsn at 0 (two u32, high first), pd_checksum u16 at 8, pd_flags u16
 * at 10, pd_lower u16 at 12, pd_upper u16 at 14. A page whose pd_upper is 0 is new and has no checksum.
 * The checksum, after storage/checksum_impl.h: 32 lanes of a modified FNV-1a over the page's u32 words, the
 * checksum field taken as zero, folded with the block number.
 */

export const pageBytes = 8192;

const prime = 16_777_619;
const lanes = 32;

/** Where each lane begins: random numbers that PostgreSQL has fixed. */
const basis = Uint32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
);

export function readPageLsn(page: Uint8Array, offset = 0): Lsn {
  const view = new DataView(page.buffer, page.byteOffset + offset, 8);
  return lsn((BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true)));
}

/** The checksum that the page should carry as that block of its relation: the plain form of the kernel's. */
export function pageChecksum(page: Uint8Array, block: number): number {
  const view = new DataView(page.buffer, page.byteOffset, pageBytes);
  const sums = Uint32Array.from(basis);
  const mix = (lane: number, word: number): void => {
    const mixed = ((sums[lane] ?? 0) ^ word) >>> 0;
    sums[lane] = Math.imul(mixed, prime) ^ (mixed >>> 17);
  };
  for (let i = 0; i < pageBytes / 4; i += 1) {
    const word = view.getUint32(i * 4, true);
    mix(i % lanes, i === 2 ? (word & 0xffff_0000) >>> 0 : word);
  }
  for (let round = 0; round < 2; round += 1) for (let lane = 0; lane < lanes; lane += 1) mix(lane, 0);
  const folded = (sums.reduce((all, sum) => all ^ sum, 0) ^ block) >>> 0;
  return (folded % 65_535) + 1;
}
