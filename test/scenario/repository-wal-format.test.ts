import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Group, LogSpan } from '../../src/archive/log-span.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { lsn } from '../../src/postgres/lsn.ts';
import { systemIdentifier } from '../../src/postgres/system-identifier.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import { segmentNumber } from '../../src/postgres/segment-name.ts';
import type { Incarnation } from '../../src/repository/cluster-repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { columnsOf } from '../../src/wal/commit-columns.ts';
import type { Commit, SegmentIndex } from '../../src/wal/segment-index.ts';
import type { WalEvent } from '../../src/wal/wal-event.ts';
import { readGroup, readSegmentIndex, readSummaries, type IndexRead } from '../support/second-reader-wal.ts';
import { SecondReader } from '../support/second-reader.ts';
import { testRepository } from '../support/test-repository.ts';
import { WalBuilder, i64 } from '../support/wal-builder.ts';

/* As repository-format.test.ts, for WAL and its index. */

const secret = 'correct horse battery staple';
const mebibyte = 1_048_576;
const gibibyte = 1_073_741_824;

async function archive(
  segmentBytes: number,
): Promise<{ store: WalStore; reader: () => SecondReader; keys: () => string[] }> {
  const storage = new MemoryStorage();
  const repository = await testRepository({ storage, passphrase: secret });
  const incarnation: Incarnation = {
    number: 3,
    systemIdentifier: '7000000000000000001',
    postgresMajor: 15,
    segmentBytes,
    since: '2026-11-23T08:00:00.000Z',
  };
  const keys = (): string[] => [...storage.objects.keys()];
  const source = {
    get: (key: string) => storage.objects.get(key),
    keys: (prefix: string) => keys().filter((key) => key.startsWith(prefix)),
  };
  const store = new WalStore(repository.cluster('main'), incarnation);
  return { store, reader: () => new SecondReader(source, secret), keys };
}

describe('a second reader, written from the document alone, finds in the archive', () => {
  it('segments, beginnings and histories', async () => {
    const { store, reader } = await archive(mebibyte);
    const builder = new WalBuilder();
    builder.record({ resourceManager: 1, info: 0, xid: 700, main: i64(848_738_314_123_456n) });
    builder.fillTo(500_000);
    const { segment } = builder;
    const name = '000000010000000500000000';
    await store.putPartial(name, segment);
    const beginning = reader().segment('main', 3, name);
    assert.equal(beginning.whole, false);
    assert.ok(segment.subarray(0, beginning.content.length).equals(beginning.content));
    assert.ok(segment.subarray(beginning.content.length).every((byte) => byte === 0));

    // Filled with zeros only, it would be a beginning still.
    builder.switchSegment();
    const [whole = segment] = builder.segments;
    await store.putSegment(name, whole);
    const stored = reader().segment('main', 3, name);
    assert.equal(stored.whole, true);
    assert.ok(whole.equals(stored.content));

    const history = Buffer.from('1\t0/5000100\tno recovery target specified\n');
    await store.putHistory('00000002.history', history);
    assert.deepEqual(reader().object('clusters/main/wal/3/00000002.history'), history);
  });

  it('the index of a segment, with everything that one can hold', async () => {
    const { store, reader } = await archive(gibibyte);
    const made = indexOf(5);
    await store.index.write({ timeline: timeline(1), number: segmentNumber(5) }, made);
    const [summary, index] = reader().parts('clusters/main/wal-index/3/00000001/00000001/000000010000000100000001');
    assert.ok(summary && index);
    compare(readSegmentIndex(index), made);
    assert.deepEqual(readSummaries(summary), [
      {
        ending: 1,
        complete: false,
        tailMayTell: true,
        certainlyNoTablespace: false,
        usedBytes: 4096,
        commitTimes: [1000n, 900n],
        latestEnd: 1000n,
        restorePoints: ['before the upgrade'],
        barriers: [{ atBytes: 32, lastCommitTime: undefined }],
      },
    ]);
    const { problem: _, ...whole } = indexOf(6);
    await store.index.write(
      { timeline: timeline(1), number: segmentNumber(6) },
      { ...whole, events: [], tail: undefined },
    );
    const [other] = reader().parts('clusters/main/wal-index/3/00000001/00000001/000000010000000100000002');
    assert.ok(other);
    const [{ complete, certainlyNoTablespace } = {}] = readSummaries(other);
    assert.deepEqual([complete, certainlyNoTablespace], [true, true]);
  });

  it('the indexes of a log, rolled up', async () => {
    const { store, reader, keys } = await archive(gibibyte);
    for (const number of [4, 5, 6, 7]) {
      await store.index.write({ timeline: timeline(1), number: segmentNumber(number) }, indexOf(number));
    }
    assert.equal(await store.index.rollUpLog(timeline(1), 1n), true);
    assert.deepEqual(
      keys().filter((key) => key.includes('wal-index')),
      ['clusters/main/wal-index/3/00000001/00000001.log'],
    );
    const [summaries, ...indexes] = reader().parts('clusters/main/wal-index/3/00000001/00000001.log');
    assert.ok(summaries);
    assert.equal(readSummaries(summaries).length, 4);
    for (const [place, bytes] of indexes.entries()) compare(readSegmentIndex(bytes), indexOf(4 + place));
  });

  it('what there is of 256 logs', async () => {
    const { store, reader } = await archive(gibibyte);
    const times = { firstCommitTime: 5n, lastCommitTime: -6n };
    const barrier = { atBytes: 96, lastCommitTime: 4n };
    const none = { firstCommitTime: undefined, lastCommitTime: undefined };
    const group: Group = Array.from({ length: 256 }, (_, log): LogSpan | undefined => {
      switch (log) {
        case 3:
          return { contents: undefined, runs: [{ place: 0, segments: 4, usedBytes: undefined, ...none }] };
        case 4:
          return { contents: undefined, runs: [{ place: 0, segments: 4, usedBytes: undefined, ...times }] };
        case 5:
          return {
            contents: undefined,
            runs: [
              { place: 0, segments: 1, usedBytes: 4096, ...none },
              { place: 1, segments: 3, usedBytes: undefined, ...times },
              { place: 0, segments: 4, usedBytes: undefined, ...none, barriers: [{ place: 3, ...barrier }] },
              { place: 0, segments: 4, usedBytes: undefined, ...times, barriers: [{ place: 2, ...barrier }] },
            ],
          };
        case 255:
          return { contents: '0123456789abcdef'.repeat(2), runs: [{ place: 2, segments: 0, usedBytes: 0, ...times }] };
        default:
          return undefined;
      }
    });
    await store.index.writeGroup(timeline(1), 0n, group);
    const [bytes] = reader().parts('clusters/main/wal-index/3/00000001/000000.group');
    assert.ok(bytes);
    assert.deepEqual(
      readGroup(bytes, 4),
      group.map(
        (span) =>
          span && {
            contents: span.contents ?? '',
            runs: span.runs.map(({ place, segments, usedBytes, firstCommitTime, lastCommitTime, barriers = [] }) => ({
              place,
              segments,
              usedBytes,
              commitTimes: firstCommitTime === undefined ? undefined : [firstCommitTime, lastCommitTime],
              barriers: barriers.map(({ atBytes, lastCommitTime: time }) => ({ atBytes, lastCommitTime: time })),
              places: barriers.map((one) => one.place),
            })),
          },
      ),
    );
  });
});

/** An index with one of everything. */
function indexOf(number: number): SegmentIndex {
  const startLsn = lsn(BigInt(number) * BigInt(gibibyte));
  const at = (offset: number): ReturnType<typeof lsn> => lsn(startLsn + BigInt(offset));
  const relation = { spcOid: 1663, dbOid: 5, relNumber: 16_384 };
  const events: WalEvent[] = [
    {
      kind: 'checkpoint',
      lsn: at(8),
      shutdown: true,
      redoLsn: at(0),
      timeline: timeline(2),
      previousTimeline: timeline(1),
      walLevel: 'logical',
    },
    { kind: 'checkpoint-redo', lsn: at(16), walLevel: 'replica' },
    {
      kind: 'end-of-recovery',
      lsn: at(24),
      time: -7n,
      timeline: timeline(3),
      previousTimeline: timeline(2),
      walLevel: 'minimal',
    },
    { kind: 'parameter-change', lsn: at(32), walLevel: 'minimal' },
    { kind: 'full-page-writes', lsn: at(40), enabled: true },
    { kind: 'backup-end', lsn: at(48), startLsn: at(8) },
    { kind: 'switch', lsn: at(56) },
    { kind: 'overwrite-contrecord', lsn: at(64), overwrittenLsn: at(8), time: 5n },
    { kind: 'prepare', lsn: at(72), xid: 4_000_000_000, time: 2n ** 60n },
    { kind: 'relation-create', lsn: at(80), relation: { ...relation, fork: 3 } },
    { kind: 'relation-truncate', lsn: at(88), relation, blocks: 17, forks: [0, 2] },
    { kind: 'relation-drop', lsn: at(96), xid: 9, relations: [relation, { ...relation, relNumber: 1 }] },
    { kind: 'database-create', lsn: at(104), strategy: 'wal-log', dbOid: 7, spcOid: 1663 },
    { kind: 'database-drop', lsn: at(112), dbOid: 7, spcOids: [1663, 16_400] },
    { kind: 'tablespace-create', lsn: at(120), spcOid: 16_400, path: '/mnt/빠른' },
    { kind: 'tablespace-drop', lsn: at(128), spcOid: 16_400 },
    { kind: 'untracked-change', lsn: at(136), resourceManager: 200 },
  ];
  const commits: Commit[] = [
    { xid: 700, lsn: at(200), endLsn: at(240), time: 1000n, kind: 'commit' },
    { xid: 699, lsn: at(240), endLsn: at(280), time: 900n, kind: 'commit' },
    { xid: 701, lsn: at(400), endLsn: at(480), time: -5n, kind: 'abort-prepared' },
  ];
  return {
    walMagic: 0xd110,
    postgresMajor: 15,
    systemIdentifier: systemIdentifier(7_000_000_000_000_000_001n),
    timeline: timeline(1),
    startLsn,
    endLsn: at(gibibyte),
    walBlockBytes: 8192,
    firstRecordLsn: at(40),
    previousRecordLsn: lsn(at(40) - 1000n),
    lastRecordLsn: at(4048),
    usedEndLsn: at(4096),
    ending: 'switch',
    problem: 'nothing, really',
    commits,
    commitColumns: columnsOf(commits, startLsn),
    restorePoints: [{ name: 'before the upgrade', lsn: at(600), endLsn: at(704), time: -12n }],
    changes: [
      { relation: { ...relation, fork: 0 }, blocks: Uint32Array.of(0, 1, 2, 90) },
      { relation: { ...relation, fork: 2 }, blocks: Uint32Array.of(), truncatedTo: 3 },
      { relation: { spcOid: 1664, dbOid: 0, relNumber: 1260, fork: 1 }, blocks: Uint32Array.of(4_000_000_000) },
    ],
    events,
    continuationBytes: 2_000_000,
    head: Uint8Array.of(1, 2, 3),
    tail: { lsn: at(4000), bytes: Uint8Array.of(4, 5) },
  };
}

function compare(found: IndexRead, made: SegmentIndex): void {
  const offset = (position: bigint): number => Number(position - made.startLsn);
  assert.deepEqual(found, {
    magic: made.walMagic,
    systemIdentifier: BigInt(made.systemIdentifier),
    timeline: made.timeline,
    segmentBytes: gibibyte,
    pageBytes: made.walBlockBytes,
    number: made.startLsn / BigInt(gibibyte),
    firstRecord: made.firstRecordLsn === undefined ? undefined : offset(made.firstRecordLsn),
    bytesBack: (made.firstRecordLsn ?? 0n) - (made.previousRecordLsn ?? 0n),
    lastRecord: made.lastRecordLsn === undefined ? undefined : offset(made.lastRecordLsn),
    usedBytes: offset(made.usedEndLsn),
    ending: ['full', 'switch', 'end-of-wal'].indexOf(made.ending),
    problem: made.problem,
    commits: made.commits.map(({ kind, xid, lsn: start, endLsn, time }) => ({
      kind: ['commit', 'abort', 'commit-prepared', 'abort-prepared'].indexOf(kind),
      xid,
      start: offset(start),
      length: Number(endLsn - start),
      time,
    })),
    restorePoints: made.restorePoints.map(({ lsn: start, endLsn, time, name }) => ({
      start: offset(start),
      length: Number(endLsn - start),
      time,
      name,
    })),
    changes: made.changes.map(({ relation: { spcOid, dbOid, relNumber, fork }, truncatedTo, blocks }) => ({
      fork: [spcOid, dbOid, relNumber, fork],
      cutTo: truncatedTo,
      blocks: [...blocks],
    })),
    events: made.events.map((event, kind) => ({
      kind,
      start: offset(event.lsn),
      fields: fieldsOf(event, kind, found),
    })),
    continuationBytes: made.continuationBytes,
    head: Buffer.from(made.head),
    tail: made.tail && { start: offset(made.tail.lsn), bytes: Buffer.from(made.tail.bytes) },
  });
}

/** The fields of an event in a row, as the document numbers them; numbers in the type in which they were read. */
function fieldsOf(event: WalEvent, place: number, found: IndexRead): (number | bigint | string)[] {
  const words: Readonly<Record<string, number>> = { minimal: 0, replica: 1, logical: 2, 'file-copy': 0, 'wal-log': 1 };
  const flat = (value: unknown, name: string): (number | bigint | string)[] => {
    if (name === 'forks') return [(value as number[]).reduce((bits, fork) => bits | (1 << fork), 0)];
    if (Array.isArray(value)) return value.flatMap((item) => flat(item, ''));
    if (typeof value === 'object' && value !== null) return Object.values(value).flatMap((item) => flat(item, ''));
    if (typeof value === 'boolean') return [value ? 1 : 0];
    if (typeof value === 'string') return [words[value] ?? value];
    return [value as number | bigint];
  };
  const fields = Object.entries(event)
    .filter(([name]) => name !== 'kind' && name !== 'lsn')
    .flatMap(([name, value]) => flat(value, name));
  const read = found.events[place]?.fields ?? [];
  assert.equal(read.length, fields.length, event.kind);
  return fields.map((field, index) =>
    typeof read[index] === 'bigint' && typeof field === 'number' ? BigInt(field) : field,
  );
}
