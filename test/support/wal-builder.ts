import { crc32cRange } from '../../src/bytes/crc32c.ts';
import { lsn, type Lsn } from '../../src/postgres/lsn.ts';

/** A block reference to write; `image` and `data` are payload bytes. */
export interface BuiltBlock {
  readonly relation: readonly [spcOid: number, dbOid: number, relNumber: number];
  readonly block: number;
  readonly fork?: number;
  /** Flags are bimg_info's of the version; `holeBytes` follows where they say compressed with a hole. */
  readonly image?: { readonly bytes: Uint8Array; readonly flags: number; readonly holeBytes?: number };
  readonly data?: Uint8Array;
  readonly sameRelation?: boolean;
}

export interface BuiltRecord {
  readonly resourceManager?: number;
  readonly info?: number;
  readonly xid?: number;
  readonly blocks?: readonly BuiltBlock[];
  readonly main?: Uint8Array;
  readonly origin?: number;
  readonly topLevelXid?: number;
}

export interface WalBuilderOptions {
  readonly walMagic?: number;
  readonly startLsn?: bigint;
  readonly timeline?: number;
  readonly segmentBytes?: number;
  readonly pageBytes?: number;
  readonly systemIdentifier?: bigint;
}

const flags = { continuation: 1, long: 2, overwrite: 8 };

/** Writes records into WAL pages and segments as PostgreSQL lays them out: handmade input for decoders. */
export class WalBuilder {
  readonly #options: Required<WalBuilderOptions>;
  readonly #startLsn: bigint;
  #segments: Buffer[] = [];
  /** From `#startLsn`. */
  #position = 0;
  #previousLsn: bigint;
  #timeline: number;

  constructor(options: WalBuilderOptions = {}) {
    this.#options = {
      walMagic: 0xd110,
      startLsn: 0x5_0000_0000n,
      timeline: 1,
      segmentBytes: 1_048_576,
      pageBytes: 8192,
      systemIdentifier: 7_000_000_000_000_000_001n,
      ...options,
    };
    this.#startLsn = this.#options.startLsn;
    this.#previousLsn = this.#startLsn - 64n;
    this.#timeline = this.#options.timeline;
  }

  /** Where the next record will start, once page headers are out of the way. */
  get lsn(): Lsn {
    this.#startPageIfNeeded(0, 0);
    return lsn(this.#startLsn + BigInt(this.#position));
  }

  get segments(): Buffer[] {
    return this.#segments;
  }

  get segment(): Buffer {
    const [only] = this.#segments;
    if (this.#segments.length !== 1 || !only) throw new Error(`${this.#segments.length} segments`);
    return only;
  }

  #page(): Buffer {
    const { segmentBytes } = this.#options;
    const index = Math.floor(this.#position / segmentBytes);
    while (this.#segments.length <= index) this.#segments.push(Buffer.alloc(segmentBytes));
    return this.#segments[index]!.subarray(this.#position % segmentBytes);
  }

  #startPageIfNeeded(remaining: number, extraFlags: number): void {
    const { pageBytes, segmentBytes, walMagic, systemIdentifier } = this.#options;
    if (this.#position % pageBytes !== 0) return;
    const page = this.#page();
    const long = this.#position % segmentBytes === 0;
    page.writeUInt16LE(walMagic, 0);
    page.writeUInt16LE((remaining > 0 ? flags.continuation : 0) | (long ? flags.long : 0) | extraFlags, 2);
    page.writeUInt32LE(this.#timeline, 4);
    page.writeBigUInt64LE(this.#startLsn + BigInt(this.#position), 8);
    page.writeUInt32LE(remaining, 16);
    if (long) {
      page.writeBigUInt64LE(systemIdentifier, 24);
      page.writeUInt32LE(segmentBytes, 32);
      page.writeUInt32LE(pageBytes, 36);
    }
    this.#position += long ? 40 : 24;
  }

  /** Writes bytes where WAL stands now, through page headers; at most `atMost` of them. */
  raw(bytes: Uint8Array, atMost = bytes.length): this {
    let done = 0;
    while (done < atMost) {
      this.#startPageIfNeeded(done > 0 ? bytes.length - done : 0, 0);
      const here = Math.min(this.#options.pageBytes - (this.#position % this.#options.pageBytes), atMost - done);
      this.#page().set(bytes.subarray(done, done + here));
      this.#position += here;
      done += here;
    }
    this.#position = Math.ceil(this.#position / 8) * 8;
    return this;
  }

  /** Appends a record; answers where it starts. */
  record(record: BuiltRecord): Lsn {
    const at = this.lsn;
    this.raw(encodeRecord(record, this.#previousLsn));
    this.#previousLsn = at;
    return at;
  }

  /** Only the first bytes of a record, then as after a crash: the next page says that it was given up. */
  givenUp(record: BuiltRecord, writtenBytes: number): Lsn {
    const at = this.lsn;
    this.raw(encodeRecord(record, this.#previousLsn), writtenBytes);
    this.#position = Math.ceil(this.#position / this.#options.pageBytes) * this.#options.pageBytes;
    this.#startPageIfNeeded(0, flags.overwrite);
    return at;
  }

  /** A record without meaning (XLOG_NOOP) that takes `bytes` bytes, at least 32, a multiple of 8. */
  filler(bytes: number): Lsn {
    const main = bytes - 24 - (bytes - 24 - 2 < 256 ? 2 : 5);
    return this.record({ resourceManager: 0, info: 0x20, main: new Uint8Array(main) });
  }

  /** Fills up to `offset` bytes into the present segment. */
  fillTo(offset: number): this {
    const { segmentBytes, pageBytes } = this.#options;
    for (;;) {
      if (this.#position % segmentBytes === offset) return this;
      const now = Number(this.lsn - this.#startLsn) % segmentBytes;
      if (now === offset) return this;
      const room = Math.min(offset, now - (now % pageBytes) + pageBytes) - now;
      if (room < 32) throw new Error(`cannot fill ${room} bytes`);
      // never leave less than a record's room before the end of the page or the goal
      this.filler(room > 4096 + 64 ? 4096 : room);
    }
  }

  switchSegment(): Lsn {
    const at = this.record({ resourceManager: 0, info: 0x40 });
    this.#position = Math.ceil(this.#position / this.#options.segmentBytes) * this.#options.segmentBytes;
    return at;
  }

  setTimeline(timeline: number): this {
    this.#timeline = timeline;
    return this;
  }
}

function encodeRecord(record: BuiltRecord, previousLsn: bigint): Buffer {
  const headers: Buffer[] = [];
  const payload: Uint8Array[] = [];
  for (const [id, block] of (record.blocks ?? []).entries()) {
    const fork = block.fork ?? 0;
    const head = Buffer.alloc(4);
    head.writeUInt8(id, 0);
    head.writeUInt8(
      fork | (block.image ? 0x10 : 0) | (block.data?.length ? 0x20 : 0) | (block.sameRelation ? 0x80 : 0),
      1,
    );
    head.writeUInt16LE(block.data?.length ?? 0, 2);
    headers.push(head);
    if (block.image) {
      const image = Buffer.alloc(5);
      image.writeUInt16LE(block.image.bytes.length, 0);
      image.writeUInt16LE(100, 2);
      image.writeUInt8(block.image.flags, 4);
      headers.push(image);
      if (block.image.holeBytes !== undefined) headers.push(u16(block.image.holeBytes));
      payload.push(block.image.bytes);
    }
    if (!block.sameRelation) headers.push(u32(...block.relation));
    headers.push(u32(block.block));
    if (block.data) payload.push(block.data);
  }
  if (record.origin !== undefined) headers.push(Buffer.from([253]), u16(record.origin));
  if (record.topLevelXid !== undefined) headers.push(Buffer.from([252]), u32(record.topLevelXid));
  const main = record.main ?? new Uint8Array(0);
  if (main.length > 255) headers.push(Buffer.from([254]), u32(main.length));
  else if (main.length > 0) headers.push(Buffer.from([255, main.length]));
  const body = Buffer.concat([...headers, ...payload, main]);
  const bytes = Buffer.alloc(24 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(record.xid ?? 0, 4);
  bytes.writeBigUInt64LE(previousLsn, 8);
  bytes.writeUInt8(record.info ?? 0, 16);
  bytes.writeUInt8(record.resourceManager ?? 10, 17);
  bytes.set(body, 24);
  bytes.writeUInt32LE(crc32cRange(bytes, 0, 20, crc32cRange(bytes, 24, bytes.length)), 20);
  return bytes;
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

/** Little-endian words one after the other. */
export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}

export function i64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}
