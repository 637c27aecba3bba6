// AssemblyScript, compiled by scripts/build-kernels.sh into ../record-kernel.wasm.ts.
//
// Walks over the WAL records that need no second look (record-kernel.ts says which), and gathers the blocks that they
// touch and the commits that are nothing but a time. Formats: page-header.ts, record.ts.
//
// Memory: what a call leaves behind at 1024; the beginning of a record that crosses pages at 4096; the references of the
// present record at 8192; the compiler's from 32768; commits from 65536; forks from 196608; their table from 327680; the
// segment from 393216, and behind it tables of blocks, each twice as large as the one before.

const LAST: usize = 1024;
const USED_END: usize = 1028;
const COMMITS: usize = 1032;
const GAVE_UP: usize = 1036;
const FORK_COUNT: usize = 1040;

const SCRATCH: usize = 4096;
const SCRATCH_BYTES: u32 = 1024;
const REFERENCES: usize = 8192;
const REFERENCE_BYTES: u32 = 20;

const COMMITS_AT: usize = 65_536;
const COMMIT_BYTES: u32 = 24;
const MOST_COMMITS: u32 = 4096;

const FORKS_AT: usize = 196_608;
const FORK_BYTES: u32 = 24;
const MOST_FORKS: u32 = 4096;
const FORK_TABLE_AT: usize = 327_680;
const FORK_MASK: u32 = 8191;

const SEGMENT_AT: usize = 393_216;
const SLOT_BYTES: usize = 16;
const FIRST_MASK: u32 = 32_767;
const LAST_MASK: u32 = 1_048_575;

const RECORD_BYTES: u32 = 24;
const PAGE_HEADER_BYTES: u32 = 24;
const MIN_TIME: i64 = -(1 << 50);
const MAX_TIME: i64 = (1 << 51) + (1 << 50);

let fileBytes: u32 = 0;
let lengthBytes: u32 = 0;
let pageBytes: u32 = 0;
let magic: u32 = 0;
let startLow: u32 = 0;
let startHigh: u32 = 0;
let major: u32 = 0;

let epoch: u32 = 0;
let tableAt: usize = 0;
let packedBytes: usize = 0;
let mask: u32 = 0;
let used: u32 = 0;
let forkCount: u32 = 0;
let lastFork: u32 = 0;
let commitCount: u32 = 0;
let gaveUp: bool = false;

let referenceCount: u32 = 0;
let mainBytes: u32 = 0;

/** Before a segment is walked: nothing is gathered any more. */
export function begin(
  file: u32,
  length: u32,
  page: u32,
  pageMagic: u32,
  low: u32,
  high: u32,
  postgresMajor: u32,
  tables: usize,
): void {
  fileBytes = file;
  lengthBytes = length;
  pageBytes = page;
  magic = pageMagic;
  startLow = low;
  startHigh = high;
  major = postgresMajor;
  // What an earlier segment left in the tables counts no more, but for rows that look like anything.
  memory.fill(tableAt, 0, packedBytes);
  packedBytes = 0;
  tableAt = tables;
  epoch += 1;
  mask = FIRST_MASK;
  used = 0;
  forkCount = 0;
  lastFork = 0;
  commitCount = 0;
  gaveUp = false;
}

/**
 * Walks on from the record at `from`, which follows the one at `previous`, as far as records are plain. Leaves at 1024: where the
 * last one starts that was passed, and ends; how many commits lie from 65536 on; whether it has no room to go on at all.
 */
export function walk(from: u32, previous: u32, timeline: u32): void {
  let start = from;
  let last = previous;
  let usedEnd: u32 = 0;
  commitCount = 0;
  while (start + 8 <= fileBytes && commitCount < MOST_COMMITS) {
    const pageEnd = (start & ~(pageBytes - 1)) + pageBytes;
    const length = load<u32>(SEGMENT_AT + start);
    if (length < RECORD_BYTES || length > lengthBytes) break;
    let at: usize = SEGMENT_AT + start;
    let have = length;
    let end: u32 = (start + length + 7) & ~7;
    const crosses = start + length > pageEnd;
    if (crosses) {
      end = follow(start, pageEnd, length, timeline);
      if (end == 0) break;
      have = min(length, SCRATCH_BYTES);
      if (pageEnd - start < have) {
        gather(start, pageEnd, have);
        at = SCRATCH;
      }
    } else if (start + length > fileBytes) break;
    if (!isPlain(at, last, crosses)) break;
    if (!parse(at, have, length)) break;
    if (load<u8>(at, 17) == 1 && !noteCommit(at, start, end, length)) break;
    if (!touchAll()) {
      gaveUp = true;
      break;
    }
    last = start;
    usedEnd = end;
    if ((end & (pageBytes - 1)) == 0 && end < lengthBytes) {
      if (!isNextPage(end, timeline, 0)) break;
      start = end + PAGE_HEADER_BYTES;
    } else {
      start = end;
    }
  }
  store<u32>(LAST, last);
  store<u32>(USED_END, usedEnd);
  store<u32>(COMMITS, commitCount);
  store<u32>(GAVE_UP, gaveUp ? 1 : 0);
}

/** Whether the page there goes on with `remaining` bytes of a record, 0 for none, and has nothing else to say. */
function isNextPage(offset: u32, timeline: u32, remaining: u32): bool {
  if (offset + PAGE_HEADER_BYTES > fileBytes) return false;
  const at: usize = SEGMENT_AT + offset;
  // Of the flags only those for a continuation and for removable blocks.
  const flags = load<u16>(at, 2);
  return (
    load<u16>(at) == magic &&
    (flags & ~5) == 0 &&
    ((flags & 1) != 0) == remaining > 0 &&
    load<u32>(at, 4) == timeline &&
    load<u32>(at, 8) == startLow + offset &&
    load<u32>(at, 12) == startHigh &&
    load<u32>(at, 16) == remaining
  );
}

/** Where a record ends that crosses pages; 0 where that takes a second look. */
function follow(start: u32, pageEnd: u32, length: u32, timeline: u32): u32 {
  let remaining = length - (pageEnd - start);
  for (let page = pageEnd; isNextPage(page, timeline, remaining); page += pageBytes) {
    const here = min(remaining, pageBytes - PAGE_HEADER_BYTES);
    const end = page + PAGE_HEADER_BYTES + here;
    if (end > fileBytes) return 0;
    remaining -= here;
    if (remaining == 0) return (end + 7) & ~7;
  }
  return 0;
}

/** Its pages have been looked at. */
function gather(start: u32, pageEnd: u32, want: u32): void {
  let copied = pageEnd - start;
  memory.copy(SCRATCH, SEGMENT_AT + start, copied);
  for (let page = pageEnd; copied < want; page += pageBytes) {
    const here = min(want - copied, pageBytes - PAGE_HEADER_BYTES);
    memory.copy(SCRATCH + copied, SEGMENT_AT + page + PAGE_HEADER_BYTES, here);
    copied += here;
  }
}

/** Whether the record follows the one before, and says nothing but blocks, or when a transaction ended. */
function isPlain(at: usize, last: u32, crosses: bool): bool {
  if (load<u32>(at, 8) != startLow + last || load<u32>(at, 12) != startHigh) return false;
  const info = load<u8>(at, 16);
  const manager = load<u8>(at, 17);
  switch (manager) {
    case 0: {
      // images of pages
      const operation = info & 0xf0;
      return operation == 0xa0 || operation == 0xb0;
    }
    case 1: {
      // commit or abort, without more
      const operation = info & 0xf0;
      return !crosses && (operation == 0 || operation == 0x20);
    }
    case 2:
    case 4:
    case 5:
      return false;
    default:
      return (manager <= 21 || (major >= 15 && manager >= 128)) && (info & 1) == 0;
  }
}

/** The same as RecordParts.parse: notes block references and the length of the main data. */
function parse(at: usize, have: u32, length: u32): bool {
  const end = at + have;
  const total = at + length;
  const compressed: u32 = major < 15 ? 0x2 : 0x1c;
  let position = at + RECORD_BYTES;
  let payload: u32 = 0;
  let count: u32 = 0;
  let lastId: i32 = -1;
  let spcOid: u32 = 0;
  let dbOid: u32 = 0;
  let relNumber: u32 = 0;
  mainBytes = 0;
  while (position + payload < total) {
    if (position + 2 > end) return false;
    const id = <i32>load<u8>(position);
    if (id <= 32) {
      if (id <= lastId || position + 4 > end) return false;
      lastId = id;
      const flags = load<u8>(position, 1);
      const dataBytes = load<u16>(position, 2);
      if (((flags & 0x20) != 0) != dataBytes > 0) return false;
      payload += dataBytes;
      position += 4;
      if ((flags & 0x10) != 0) {
        if (position + 5 > end) return false;
        payload += load<u16>(position);
        const image = <u32>load<u8>(position, 4);
        position += 5;
        if ((image & 1) != 0 && (image & compressed) != 0) position += 2;
      }
      if ((flags & 0x80) == 0) {
        if (position + 16 > end) return false;
        spcOid = load<u32>(position);
        dbOid = load<u32>(position, 4);
        relNumber = load<u32>(position, 8);
        position += 12;
      } else if (count == 0) return false;
      if (position + 4 > end) return false;
      const fork = <u32>(flags & 0x0f);
      if (fork > 3) return false;
      const reference = REFERENCES + count * REFERENCE_BYTES;
      store<u32>(reference, spcOid);
      store<u32>(reference, dbOid, 4);
      store<u32>(reference, relNumber, 8);
      store<u32>(reference, fork, 12);
      store<u32>(reference, load<u32>(position), 16);
      count += 1;
      position += 4;
    } else if (id == 255) {
      mainBytes = load<u8>(position, 1);
      payload += mainBytes;
      position += 2;
      break;
    } else if (id == 253) {
      position += 3;
    } else {
      if (position + 5 > end) return false;
      const value = load<u32>(position, 1);
      position += 5;
      if (id == 254) {
        mainBytes = value;
        // more than there is would not add up, whatever it wraps to
        if (value > length) return false;
        payload += value;
        break;
      }
      if (id != 252) return false;
    }
  }
  referenceCount = count;
  return position + payload == total;
}

function noteCommit(at: usize, start: u32, end: u32, length: u32): bool {
  if (mainBytes < 8) return false;
  const time = load<i64>(at + (length - mainBytes));
  if (time < MIN_TIME || time > MAX_TIME) return false;
  const row = COMMITS_AT + commitCount * COMMIT_BYTES;
  store<u32>(row, load<u32>(at, 4));
  store<u32>(row, start, 4);
  store<i64>(row, time, 8);
  store<u32>(row, end, 16);
  store<u32>(row, (load<u8>(at, 16) & 0x20) == 0 ? 0 : 1, 20);
  commitCount += 1;
  return true;
}

function touchAll(): bool {
  let reference = REFERENCES;
  for (let i: u32 = 0; i < referenceCount; i += 1, reference += <usize>REFERENCE_BYTES) {
    const fork = forkOf(load<u32>(reference), load<u32>(reference, 4), load<u32>(reference, 8), load<u32>(reference, 12));
    if (fork < 0 || !touchBlock(fork, load<u32>(reference, 16))) return false;
  }
  return true;
}

// @ts-ignore: decorator
@inline
function hashOf(first: u32, second: u32): u32 {
  let hash = (first * 0x9e3779b1) ^ (second * 0x85ebca6b);
  hash ^= hash >>> 15;
  hash *= 0x2c1b3c6d;
  return hash ^ (hash >>> 13);
}

/** Of each: tablespace, database, relation, fork, the block touched last, how often it was cut. */
// @ts-ignore: decorator
@inline
function forkAt(number: u32): usize {
  return FORKS_AT + number * FORK_BYTES;
}

// @ts-ignore: decorator
@inline
function isFork(number: u32, spcOid: u32, dbOid: u32, relNumber: u32, fork: u32): bool {
  const at = forkAt(number);
  return (
    load<u32>(at, 8) == relNumber && load<u32>(at, 12) == fork && load<u32>(at, 4) == dbOid && load<u32>(at) == spcOid
  );
}

/** Its number, maybe a new one; -1 where there are too many. */
function forkOf(spcOid: u32, dbOid: u32, relNumber: u32, fork: u32): i32 {
  if (forkCount > 0 && isFork(lastFork, spcOid, dbOid, relNumber, fork)) return lastFork;
  let slot = hashOf(relNumber + fork, dbOid ^ (spcOid << 8)) & FORK_MASK;
  let at: usize = FORK_TABLE_AT + (slot << 3);
  for (; load<u32>(at, 4) == epoch; at = FORK_TABLE_AT + (slot << 3)) {
    const number = load<u32>(at);
    if (isFork(number, spcOid, dbOid, relNumber, fork)) {
      lastFork = number;
      return number;
    }
    slot = (slot + 1) & FORK_MASK;
  }
  if (forkCount == MOST_FORKS) return -1;
  store<u32>(at, forkCount);
  store<u32>(at, epoch, 4);
  const into = forkAt(forkCount);
  store<u32>(into, spcOid);
  store<u32>(into, dbOid, 4);
  store<u32>(into, relNumber, 8);
  store<u32>(into, fork, 12);
  store<u32>(into, 0xffffffff, 16);
  store<u32>(into, 0, 20);
  lastFork = forkCount;
  forkCount += 1;
  return lastFork;
}

/** Slots: fork + 1, block, how often the fork had been cut, epoch. */
function touchBlock(fork: u32, block: u32): bool {
  const at = forkAt(fork);
  // most references repeat their relation's last one: inserts fill a page, small tables have one
  if (load<u32>(at, 16) == block && block != 0xffffffff) return true;
  store<u32>(at, block, 16);
  const cuts = load<u32>(at, 20);
  let slot = hashOf(fork, block) & mask;
  let into = tableAt + (<usize>slot << 4);
  for (; load<u32>(into, 12) == epoch; into = tableAt + (<usize>slot << 4)) {
    if (load<u32>(into) == fork + 1 && load<u32>(into, 4) == block) {
      store<u32>(into, cuts, 8);
      return true;
    }
    slot = (slot + 1) & mask;
  }
  store<u32>(into, fork + 1);
  store<u32>(into, block, 4);
  store<u32>(into, cuts, 8);
  store<u32>(into, epoch, 12);
  used += 1;
  return used * 2 <= mask || grow();
}

function grow(): bool {
  if (mask == LAST_MASK) return false;
  const from = tableAt;
  const oldBytes = (<usize>mask + 1) * SLOT_BYTES;
  tableAt = from + oldBytes;
  mask = mask * 2 + 1;
  // A segment before may have had another one: what it left is not of this epoch.
  for (let old = from, end = from + oldBytes; old < end; old += SLOT_BYTES) {
    if (load<u32>(old, 12) != epoch) continue;
    let slot = hashOf(load<u32>(old) - 1, load<u32>(old, 4)) & mask;
    while (load<u32>(tableAt + (<usize>slot << 4), 12) == epoch) slot = (slot + 1) & mask;
    v128.store(tableAt + (<usize>slot << 4), v128.load(old));
  }
  return true;
}

/** For a record that was looked at elsewhere; false where there is no room. */
export function touch(spcOid: u32, dbOid: u32, relNumber: u32, fork: u32, block: u32): bool {
  const number = forkOf(spcOid, dbOid, relNumber, fork);
  return number >= 0 && touchBlock(number, block);
}

/** The fork's number; -1 where there are too many. Where it was cut, the caller remembers. */
export function cut(spcOid: u32, dbOid: u32, relNumber: u32, fork: u32): i32 {
  const number = forkOf(spcOid, dbOid, relNumber, fork);
  if (number < 0) return -1;
  const at = forkAt(number);
  store<u32>(at, 0xffffffff, 16);
  store<u32>(at, load<u32>(at, 20) + 1, 20);
  return number;
}

/** Packs the table: fork + 1, block, cuts, again and again. Returns how many; where they are, `rowsAt` says. */
export function pack(): u32 {
  store<u32>(FORK_COUNT, forkCount);
  let into = tableAt;
  for (let from = tableAt, end = tableAt + (<usize>mask + 1) * SLOT_BYTES; from < end; from += SLOT_BYTES) {
    if (load<u32>(from, 12) != epoch) continue;
    store<u64>(into, load<u64>(from));
    store<u32>(into, load<u32>(from, 8), 8);
    into += 12;
  }
  packedBytes = into - tableAt;
  return used;
}

export function rowsAt(): usize {
  return tableAt;
}
