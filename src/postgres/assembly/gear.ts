// AssemblyScript, part of page-kernel.ts: where a chunk ends, by a rolling hash of the last 32 bytes (src/logical/chunk-cutter.ts).
//
// Each byte moves the hash by one bit and adds its number. Two bytes at once: what the second one needs of the first is ready before
// the hash is, so that the chain is half as long.
//
// Memory: the numbers of the 256 bytes at 10240 (1 KiB).

export const NUMBERS: usize = 10240;

// @ts-ignore: decorator
@inline
function numberOf(at: usize): u32 {
  return load<u32>(NUMBERS + (<usize>load<u8>(at) << 2));
}

/** The first place from `at` on before which the 32 bytes have a hash below 2^`shift`; `limit` where none has. */
export function endOfChunk(at: usize, limit: usize, shift: u32): usize {
  let sum: u32 = 0;
  for (let i = at - 32; i < at; i++) sum = (sum << 1) + numberOf(i);
  for (const pairs = limit - 1; at < pairs; at += 2) {
    if (sum >>> shift == 0) return at;
    const first = numberOf(at);
    if (((sum << 1) + first) >>> shift == 0) return at + 1;
    sum = (sum << 2) + ((first << 1) + numberOf(at + 1));
  }
  return at < limit && sum >>> shift == 0 ? at : limit;
}
