import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { walObjectName } from '../../src/archive/wal-keys.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { lsn } from '../../src/postgres/lsn.ts';
import { formatSegmentName, segmentNumber, segmentStart, type SegmentName } from '../../src/postgres/segment-name.ts';
import { systemIdentifier } from '../../src/postgres/system-identifier.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { Incarnation } from '../../src/repository/cluster-document.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { columnsOf } from '../../src/wal/commit-columns.ts';
import type { Commit, SegmentEnding, SegmentIndex } from '../../src/wal/segment-index.ts';
import { commit } from './indexed-wal.ts';
import { testRepository } from './test-repository.ts';
import { WalBuilder, i64, u32 } from './wal-builder.ts';
import { prepareContent } from '../../src/repository/content-digest.ts';

/* A WAL archive for tests, and segments to put into it. */

export const mebibyte = 1_048_576;
export const gibibyte = 1_073_741_824;
export const identifier = 7_000_000_000_000_000_001n;

export interface TestArchive {
  readonly objects: Map<string, Uint8Array>;
  readonly storage: Storage;
  readonly repository: Repository;
  readonly store: WalStore;
}

export interface TestArchiveOptions {
  /** Keeps the objects. */
  readonly memory?: MemoryStorage;
  readonly passphrase?: string;
  /** 1 MiB unless given. */
  readonly segmentBytes?: number;
}

export async function testArchive(options: TestArchiveOptions = {}): Promise<TestArchive> {
  const { memory = new MemoryStorage(), passphrase, segmentBytes = mebibyte } = options;
  const repository = await testRepository({ storage: memory, ...(passphrase === undefined ? {} : { passphrase }) });
  const store = new WalStore(repository.cluster('main'), incarnationOf(segmentBytes));
  return { objects: memory.objects, storage: memory, repository, store };
}

export function incarnationOf(segmentBytes: number, changes: Partial<Incarnation> = {}): Incarnation {
  return {
    number: 1,
    systemIdentifier: String(identifier),
    postgresMajor: 15,
    segmentBytes,
    since: '2026-11-23T08:00:00.000Z',
    ...changes,
  };
}

export interface SegmentOptions {
  readonly timeline?: number;
  /** Of the page headers, where it is another one than the name says. */
  readonly pageTimeline?: number;
  /** Times of its commits. */
  readonly commits?: readonly bigint[];
  readonly restorePoint?: string;
  /** Up to where it holds records, a multiple of 8; to its end unless given. */
  readonly usedBytes?: number;
  readonly walMagic?: number;
  readonly systemIdentifier?: bigint;
  readonly segmentBytes?: number;
  /** Segments of two seeds differ. */
  readonly seed?: number;
  /** Whether its second record is a checkpoint that began with the first. */
  readonly checkpoint?: boolean;
}

/** A segment as a server writes it. */
export function walSegment(number: number, options: SegmentOptions = {}): Buffer {
  const { usedBytes, restorePoint, segmentBytes = mebibyte, seed = 0, commits = [] } = options;
  const builder = new WalBuilder({
    startLsn: BigInt(number) * BigInt(segmentBytes),
    segmentBytes,
    timeline: options.pageTimeline ?? options.timeline ?? 1,
    systemIdentifier: options.systemIdentifier ?? identifier,
    ...(options.walMagic === undefined ? {} : { walMagic: options.walMagic }),
  });
  const redoLsn = builder.record({ resourceManager: 0, info: 0x20, xid: seed + 3, main: i64(BigInt(seed)) });
  if (options.checkpoint) {
    const main = Buffer.concat([i64(redoLsn), u32(1, 1, 1, 0), Buffer.alloc(64)]);
    builder.record({ resourceManager: 0, info: 0x10, main });
  }
  for (const [i, time] of commits.entries()) commit(builder, 700 + i, time);
  if (restorePoint !== undefined) {
    const name = Buffer.alloc(64);
    name.write(restorePoint);
    builder.record({ resourceManager: 0, info: 0x70, main: Buffer.concat([i64(commits.at(-1) ?? 1n), name]) });
  }
  if (usedBytes === undefined) builder.fillTo(segmentBytes - 32).filler(32);
  else builder.fillTo(usedBytes);
  return builder.segment;
}

export function nameOf(number: number | bigint, onTimeline = 1, segmentBytes = mebibyte): string {
  return formatSegmentName(segmentAt(number, onTimeline), segmentBytes);
}

export function segmentAt(number: number | bigint, onTimeline = 1): SegmentName {
  return { timeline: timeline(onTimeline), number: segmentNumber(number) };
}

export interface MadeUp {
  /** Of its first and its last commit; none unless given. */
  readonly commits?: readonly [bigint, bigint];
  readonly ending?: SegmentEnding;
  readonly usedBytes?: number;
  readonly problem?: string;
  readonly restorePoints?: readonly string[];
}

/** An index of a segment that need not exist. */
export function madeUpIndex(of: SegmentName, segmentBytes: number, made: MadeUp = {}): SegmentIndex {
  const startLsn = segmentStart(of.number, segmentBytes);
  const at = (offset: number): ReturnType<typeof lsn> => lsn(startLsn + BigInt(offset));
  const { ending = 'full', usedBytes = ending === 'full' ? segmentBytes : 8192 } = made;
  const commits = (made.commits ?? []).map((time, i): Commit => ({
    xid: 700 + i,
    lsn: at(40 + i * 80),
    endLsn: at(80 + i * 80),
    time,
    kind: 'commit',
  }));
  return {
    walMagic: 0xd110,
    postgresMajor: 15,
    systemIdentifier: systemIdentifier(identifier),
    timeline: of.timeline,
    startLsn,
    endLsn: at(segmentBytes),
    walBlockBytes: 8192,
    firstRecordLsn: at(40),
    previousRecordLsn: undefined,
    lastRecordLsn: undefined,
    usedEndLsn: at(usedBytes),
    ending,
    commits,
    commitColumns: columnsOf(commits, startLsn),
    restorePoints: (made.restorePoints ?? []).map((name, i) => ({
      name,
      lsn: at(4000 + i * 104),
      endLsn: at(4104 + i * 104),
      time: 1n,
    })),
    changes: [],
    events: [],
    continuationBytes: 0,
    head: new Uint8Array(0),
    tail: undefined,
    ...(made.problem === undefined ? {} : { problem: made.problem }),
  };
}

/**
 * Puts a made-up segment and its index where `putSegment` would: some bytes instead of a gigabyte. The content is
 * not WAL, so that a catalogue that looks into it instead of the index fails the test.
 */
export async function putMadeUp(store: WalStore, of: SegmentName, made: MadeUp = {}): Promise<void> {
  const segment = formatSegmentName(of, store.segmentBytes);
  const content = Buffer.from(`made up ${segment}`);
  const name = walObjectName({ segment, kind: 'segment', digest: prepareContent(content, 'wal').digest });
  await store.cluster.putSealed(`${store.keys.logFolder(of.timeline, store.keys.logOf(of.number))}/${name}`, content);
  await store.index.write(of, madeUpIndex(of, store.segmentBytes, made));
}

/** A difference shows as length and hash: printing a megabyte of bytes takes minutes. */
export function sameBytes(found: Uint8Array | undefined, expected: Uint8Array, message?: string): void {
  assert.deepEqual(found && digest(found), digest(expected), message);
}

function digest(bytes: Uint8Array): { readonly length: number; readonly sha256: string } {
  return { length: bytes.length, sha256: hash('sha256', bytes) };
}
