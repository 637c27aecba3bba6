import { assert } from '../errors/pgrecall-error.ts';
import type { BlockChangeSink } from './block-changes.ts';
import { changesOf } from './block-changes.ts';
import type { CommitColumnsBuilder } from './commit-columns.ts';
import type { SegmentHeader } from './page-header.ts';
import { wasm } from './record-kernel.wasm.ts';
import type { RecordWalker } from './record-walker.ts';
import type { BlockChanges } from './segment-index.ts';

/*
 * WebAssembly for the records that nearly all WAL consists of: they touch blocks, or are a commit or abort that says nothing but
 * when. It passes over them and gathers what they tell. In front of any other record, of a page header that is not the
 * expected one, and of whatever does not add up, it stops, and RecordWalker looks at that. JavaScript would do it all as fast once V8
 * knows the code, but that costs each thread as much as reading sixty segments. The source is in assembly/.
 */

interface Exports {
  readonly memory: WebAssembly.Memory;
  begin(
    file: number,
    length: number,
    page: number,
    magic: number,
    low: number,
    high: number,
    major: number,
    tables: number,
  ): void;
  walk(from: number, previous: number, timeline: number): void;
  touch(spcOid: number, dbOid: number, relNumber: number, fork: number, block: number): number;
  cut(spcOid: number, dbOid: number, relNumber: number, fork: number): number;
  pack(): number;
  rowsAt(): number;
}

const [lastAt, usedEndAt, commitsCountAt, gaveUpAt, forkCountAt] = [1024, 1028, 1032, 1036, 1040];
const commitsAt = 65_536;
const commitBytes = 24;
const mostCommits = 4096;
const forksAt = 196_608;
const forkWords = 6;
const mostForks = 4096;
const segmentAt = 393_216;
/** Of all tables of blocks: 32,768 slots of 16 bytes, and twice as many each time up to 1,048,576. */
const tablesBytes = 2 * 1_048_576 * 16;
const rowBytes = 12;

/** Larger segments are rare; their memory would be the thread's for ever. */
export const mostKernelBytes = 67_108_864;

let compiled: WebAssembly.Module | undefined;

/** There was no room for all that a segment touches: it has to be read without a kernel. */
export class KernelIsFull extends Error {
  constructor() {
    super('more relations or blocks in one segment than the kernel has room for');
  }
}

/** One segment at a time: what one has told is lost when the next one begins. */
export class RecordKernel implements BlockChangeSink {
  /** Read the segment into it. */
  readonly buffer: Uint8Array;
  readonly #exports: Exports;
  readonly #view: DataView;
  readonly #tablesAt: number;
  /** Of forks, by number: where they were cut. */
  #cuts: (number[] | undefined)[] = [];

  constructor(capacityBytes: number) {
    assert(capacityBytes <= mostKernelBytes, 'a kernel for a larger segment');
    compiled ??= new WebAssembly.Module(Buffer.from(wasm, 'base64'));
    this.#exports = new WebAssembly.Instance(compiled, {}).exports as unknown as Exports;
    const { memory } = this.#exports;
    // The kernel looks at no byte beyond the file, but at the word that one begins.
    this.#tablesAt = segmentAt + Math.ceil((capacityBytes + 64) / 64) * 64;
    const missing = this.#tablesAt + tablesBytes - memory.buffer.byteLength;
    memory.grow(Math.ceil(missing / 65_536));
    this.#view = new DataView(memory.buffer);
    this.buffer = new Uint8Array(memory.buffer, segmentAt, capacityBytes);
  }

  /** `fileBytes` of `lengthBytes` of the segment are in the buffer. */
  begin(header: SegmentHeader, postgresMajor: number, fileBytes: number, lengthBytes: number): void {
    this.#cuts = [];
    const high = Number(header.startLsn >> 32n);
    const low = Number(header.startLsn & 0xffff_ffffn);
    const { walBlockBytes, walMagic } = header;
    this.#exports.begin(fileBytes, lengthBytes, walBlockBytes, walMagic, low, high, postgresMajor, this.#tablesAt);
  }

  /** Passes over plain records, if the walker is in front of some. Throws `KernelIsFull`. */
  walk(walker: RecordWalker, commits: CommitColumnsBuilder): void {
    for (;;) {
      const { nextOffset, lastOffset, timeline } = walker;
      // The link of the first record leads to what is not here.
      if (nextOffset < 0 || lastOffset < 0) return;
      this.#exports.walk(nextOffset, lastOffset, timeline);
      const view = this.#view;
      if (view.getUint32(gaveUpAt, true) !== 0) throw new KernelIsFull();
      const last = view.getUint32(lastAt, true);
      if (last !== lastOffset) walker.passed(last, view.getUint32(usedEndAt, true));
      const count = view.getUint32(commitsCountAt, true);
      this.#take(count, commits);
      if (count < mostCommits) return;
    }
  }

  #take(count: number, commits: CommitColumnsBuilder): void {
    const view = this.#view;
    for (let at = commitsAt; at < commitsAt + count * commitBytes; at += commitBytes) {
      const time = view.getInt32(at + 12, true) * 0x1_0000_0000 + view.getUint32(at + 8, true);
      const end = view.getUint32(at + 16, true);
      commits.push(view.getUint32(at, true), view.getUint32(at + 4, true), end, time, view.getUint32(at + 20, true));
    }
  }

  touch(spcOid: number, dbOid: number, relNumber: number, fork: number, block: number): void {
    if (this.#exports.touch(spcOid, dbOid, relNumber, fork, block) === 0) throw new KernelIsFull();
  }

  cut(spcOid: number, dbOid: number, relNumber: number, fork: number, blocks: number): void {
    const number = this.#exports.cut(spcOid, dbOid, relNumber, fork);
    if (number < 0) throw new KernelIsFull();
    const cuts = this.#cuts[number];
    if (cuts) cuts.push(blocks);
    else this.#cuts[number] = [blocks];
  }

  finish(): BlockChanges[] {
    const rows = this.#exports.pack();
    const count = this.#view.getUint32(forkCountAt, true);
    const { buffer } = this.#view;
    const forks = new Uint32Array(buffer, forksAt, mostForks * forkWords);
    const table = new Int32Array(buffer, this.#exports.rowsAt(), (rows * rowBytes) / 4);
    return changesOf(table, {
      count,
      cuts: this.#cuts,
      relation: (number) => {
        const at = number * forkWords;
        return {
          spcOid: forks[at] ?? 0,
          dbOid: forks[at + 1] ?? 0,
          relNumber: forks[at + 2] ?? 0,
          fork: forks[at + 3] ?? 0,
        };
      },
    });
  }
}
