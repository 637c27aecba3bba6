/*
 * One WAL record, after access/xlogrecord.h.
 *
 *   offset  bytes
 *        0      4  xl_tot_len  of the whole record, this header included
 *        4      4  xl_xid
 *        8      8  xl_prev     LSN of the record before
 *       16      1  xl_info     high 4 bits: the resource manager's; low 4: flags below
 *       17      1  xl_rmid
 *       18      2  padding
 *       20      4  xl_crc      CRC-32C of what follows this header, then of its first 20 bytes
 *       24         headers of block references, of the main data; then the blocks' data; then the main data
 *
 * Header of a block reference: id (0 to 32), fork and flags, length of data (2); with an image: its length (2),
 * offset of the hole (2), flags (1), and for a compressed one with a hole the hole's length (2); unless
 * the relation is the one of the reference before: spcOid, dbOid, relNumber (4 each); block number (4).
 */

export const recordHeaderBytes = 24;

/** Low bits of xl_info. */
export const recordFlags = { specialRelationUpdate: 0x1, checkConsistency: 0x2 } as const;

/** Block references have ids from 0 to this. */
const maxBlockId = 32;

/** More than all headers of a record can take: 33 block references of 27 bytes, origin, xid, main data. */
export const maxHeaderBytes = 1024;

const ids = { topLevelXid: 252, origin: 253, mainLong: 254, mainShort: 255 } as const;

const block = { forkMask: 0x0f, hasImage: 0x10, hasData: 0x20, willInit: 0x40, sameRelation: 0x80 } as const;

/** bimg_info changed its meaning in 15, when the compression method joined it. */
interface ImageFlags {
  readonly hole: number;
  readonly apply: number;
  readonly compressed: number;
}

function imageFlagsOf(postgresMajor: number): ImageFlags {
  return postgresMajor < 15 ? { hole: 0x1, apply: 0x4, compressed: 0x2 } : { hole: 0x1, apply: 0x2, compressed: 0x1c };
}

/**
 * The parts of one record, read again and again into the same columns: a segment has hundreds of thousands
 * of records, and an object for each would cost more than all the rest.
 */
export class RecordParts {
  readonly #image: ImageFlags;

  blockCount = 0;
  readonly spcOids = new Uint32Array(maxBlockId + 1);
  readonly dbOids = new Uint32Array(maxBlockId + 1);
  readonly relNumbers = new Uint32Array(maxBlockId + 1);
  readonly forks = new Uint8Array(maxBlockId + 1);
  readonly blocks = new Uint32Array(maxBlockId + 1);
  readonly blockIds = new Uint8Array(maxBlockId + 1);
  /** 0 no image, 1 an image that replay puts in place, 2 one that is only there to be compared. */
  readonly images = new Uint8Array(maxBlockId + 1);

  mainBytes = 0;
  topLevelXid = 0;

  constructor(postgresMajor: number) {
    this.#image = imageFlagsOf(postgresMajor);
  }

  /**
   * Reads the headers of the record of `length` bytes that starts at `at`, of which `have` are there
   * (enough for its headers). False where they contradict each other or the length.
   */
  parse(view: DataView, at: number, have: number, length: number): boolean {
    const end = at + have;
    const total = at + length;
    const image = this.#image;
    let position = at + recordHeaderBytes;
    let payload = 0;
    let count = 0;
    let lastId = -1;
    let spcOid = 0;
    let dbOid = 0;
    let relNumber = 0;
    this.blockCount = 0;
    this.mainBytes = 0;
    this.topLevelXid = 0;
    while (position + payload < total) {
      if (position + 2 > end) return false;
      const id = view.getUint8(position);
      if (id <= maxBlockId) {
        if (id <= lastId || position + 4 > end) return false;
        lastId = id;
        const flags = view.getUint8(position + 1);
        const dataBytes = view.getUint16(position + 2, true);
        if (((flags & block.hasData) !== 0) !== dataBytes > 0) return false;
        payload += dataBytes;
        position += 4;
        let imageKind = 0;
        if ((flags & block.hasImage) !== 0) {
          if (position + 5 > end) return false;
          payload += view.getUint16(position, true);
          const info = view.getUint8(position + 4);
          imageKind = (info & image.apply) !== 0 ? 1 : 2;
          position += 5;
          if ((info & image.hole) !== 0 && (info & image.compressed) !== 0) position += 2;
        }
        if ((flags & block.sameRelation) === 0) {
          if (position + 16 > end) return false;
          spcOid = view.getUint32(position, true);
          dbOid = view.getUint32(position + 4, true);
          relNumber = view.getUint32(position + 8, true);
          position += 12;
        } else if (count === 0) {
          return false;
        }
        if (position + 4 > end) return false;
        const fork = flags & block.forkMask;
        if (fork > 3) return false;
        this.blockIds[count] = id;
        this.images[count] = imageKind;
        this.forks[count] = fork;
        this.spcOids[count] = spcOid;
        this.dbOids[count] = dbOid;
        this.relNumbers[count] = relNumber;
        this.blocks[count] = view.getUint32(position, true);
        count += 1;
        position += 4;
      } else if (id === ids.mainShort) {
        this.mainBytes = view.getUint8(position + 1);
        payload += this.mainBytes;
        position += 2;
        break;
      } else if (id === ids.origin) {
        position += 3;
      } else {
        if (position + 5 > end) return false;
        const value = view.getUint32(position + 1, true);
        position += 5;
        if (id === ids.mainLong) {
          this.mainBytes = value;
          payload += value;
          break;
        }
        if (id !== ids.topLevelXid) return false;
        this.topLevelXid = value;
      }
    }
    this.blockCount = count;
    return position + payload === total;
  }
}
