import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { decodeControlFile } from '../../src/postgres/control-file.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import { indexSegment } from '../../src/wal/index-segment.ts';
import { joinRecord } from '../../src/wal/join-record.ts';
import { readRecords } from '../../src/wal/read-records.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from '../../src/wal/segment-index-codec.ts';
import type { SegmentIndex } from '../../src/wal/segment-index.ts';
import { TestCluster } from '../support/cluster.ts';
import { giveToServer } from '../support/server-user.ts';
import { loadSettings, writeAllKindsOfWal } from '../support/wal-load.ts';
import { readSegments } from '../support/written-wal.ts';

const segmentBytes = 1_048_576;
const pageBytes = 8192;
/** Reading a segment of a megabyte takes some milliseconds; a loop would take for ever. */
const mostMs = 5_000;

let segments: readonly Buffer[] = [];
let sound: readonly SegmentIndex[] = [];

before(async () => {
  await using cluster = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: loadSettings });
  const tablespace = join(cluster.socketDirectory, 'space');
  mkdirSync(tablespace);
  giveToServer(tablespace);
  await writeAllKindsOfWal({ cluster, compression: ['pglz', 'zstd'], tablespace });
  await cluster.stop();
  const control = decodeControlFile(readFileSync(join(cluster.dataDirectory, 'global/pg_control')));
  const files = readSegments(join(cluster.dataDirectory, 'pg_wal'), segmentBytes, control.checkpointLsn);
  segments = files.map(({ bytes }) => bytes);
  sound = segments.map((segment) => indexSegment(segment, { verifyCrc: true }));
});

const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Indexes it, and makes sure that whatever came out can be stored; undefined where it is no segment at all. */
function index(segment: Uint8Array, options: { partial?: boolean } = {}): SegmentIndex | undefined {
  const started = performance.now();
  try {
    encodeSegmentIndex(indexSegment(segment, options));
    const made = indexSegment(segment, { verifyCrc: true, ...options });
    assert.ok(made.usedEndLsn <= made.endLsn);
    const encoded = encodeSegmentIndex(made);
    assert.ok(isSame(encodeSegmentIndex(decodeSegmentIndex(encoded)), encoded));
    return made;
  } catch (error) {
    assert.ok(hasCode(error, 'wal-damaged'), String(error));
    return undefined;
  } finally {
    assert.ok(performance.now() - started < mostMs);
  }
}

function readAll(segment: Uint8Array): void {
  try {
    for (const { lengthBytes } of readRecords(segment, { verifyCrc: true })) assert.ok(lengthBytes >= 24);
  } catch (error) {
    assert.ok(hasCode(error, 'wal-damaged'), String(error));
  }
}

/** What an index tells, but for the timeline that the last page says, which nothing else confirms. */
function told(made: SegmentIndex, number: number): object {
  const { commits, restorePoints, changes, events, usedEndLsn, ending, continuationBytes, tail } = made;
  // halves of a record are what they give together with the other half: of one that is longer than two segments,
  // which can only be a message, nobody has all the bytes that its CRC needs
  const [previous, next] = [sound[number - 1], sound[number + 1]];
  const joined = [previous && joinRecord(previous, made), next && joinRecord(made, next)];
  return { commits, restorePoints, changes, events, usedEndLsn, ending, continuationBytes, tailAt: tail?.lsn, joined };
}

/** Either damage shows, or it hit bytes that mean nothing: unused space, padding. */
function assertNoticed(made: SegmentIndex | undefined, number: number): void {
  const whole = sound[number];
  assert.ok(whole);
  if (made === undefined || made.problem !== undefined || made.usedEndLsn < whole.usedEndLsn) return;
  // another segment follows this one, so WAL cannot have ended in it
  if (made.ending === 'end-of-wal' && whole.ending !== 'end-of-wal') return;
  if (isSame(encodeSegmentIndex(made), encodeSegmentIndex(whole))) return;
  const [previous, next] = [sound[number - 1], sound[number + 1]];
  if (previous && joinRecord(previous, made).problem !== undefined) return;
  if (next && joinRecord(made, next).problem !== undefined) return;
  assert.deepEqual(told(made, number), told(whole, number));
}

const anySegment = fc.nat(1000).map((n) => n % segments.length);

describe('a real segment that is damaged', () => {
  it('shows where bits flip, and is never read as something else', () => {
    const flips = fc.array(fc.nat(segmentBytes * 8 - 1), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(anySegment, flips, (number, bits) => {
        const segment = Buffer.from(segments[number] ?? []);
        for (const bit of bits) segment[bit >> 3]! ^= 1 << (bit & 7);
        assertNoticed(index(segment), number);
        readAll(segment);
      }),
      { numRuns: 100 },
    );
  });

  it('shows where bits flip in page headers, wherever they stand', () => {
    const place = fc.record({ page: fc.nat(segmentBytes / pageBytes - 1), bit: fc.nat(40 * 8 - 1) });
    fc.assert(
      fc.property(anySegment, place, (number, { page, bit }) => {
        const segment = Buffer.from(segments[number] ?? []);
        segment[page * pageBytes + (bit >> 3)]! ^= 1 << (bit & 7);
        assertNoticed(index(segment), number);
      }),
      { numRuns: 100 },
    );
  });

  it('shows where pages are lost, or are those of another segment or another place', () => {
    const place = fc.nat(segmentBytes / pageBytes - 1);
    fc.assert(
      fc.property(anySegment, anySegment, place, place, (number, other, from, to) => {
        const segment = Buffer.from(segments[number] ?? []);
        const page =
          number === other && from === to
            ? Buffer.alloc(pageBytes)
            : segments[other]?.subarray(from * pageBytes, (from + 1) * pageBytes);
        segment.set(page ?? [], to * pageBytes);
        assertNoticed(index(segment), number);
        readAll(segment);
      }),
      { numRuns: 100 },
    );
  });

  it('is never read beyond what it has, and never stops us, whatever is written over it', () => {
    const run = fc.record({ at: fc.nat(segmentBytes - 1), bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }) });
    fc.assert(
      fc.property(anySegment, fc.array(run, { minLength: 1, maxLength: 4 }), (number, runs) => {
        const segment = Buffer.from(segments[number] ?? []);
        for (const { at, bytes } of runs) segment.set(bytes.subarray(0, segmentBytes - at), at);
        assertNoticed(index(segment), number);
        readAll(segment);
      }),
      { numRuns: 100 },
    );
  });
});

describe('a real segment that is cut', () => {
  const lengths = fc.oneof(
    fc.nat(segmentBytes - 1),
    fc.nat(200),
    fc
      .nat(segmentBytes / pageBytes - 1)
      .chain((page) => fc.integer({ min: -30, max: 50 }).map((off) => Math.max(0, page * pageBytes + off))),
  );

  it('is refused where it should be whole', () => {
    fc.assert(
      fc.property(anySegment, lengths, (number, length) => {
        const segment = segments[number]?.subarray(0, length) ?? Buffer.alloc(0);
        const made = index(segment);
        if (made) assert.match(made.problem ?? '', /a file of \d+ bytes/);
        else assert.ok(length < 40);
        readAll(segment);
      }),
      { numRuns: 100 },
    );
  });

  it('is the beginning of what it was where it may be partial', () => {
    fc.assert(
      fc.property(anySegment, lengths, (number, length) => {
        const whole = sound[number];
        const made = index(segments[number]?.subarray(0, length) ?? Buffer.alloc(0), { partial: true });
        assert.ok(whole);
        if (!made) {
          assert.ok(length < 40);
          return;
        }
        assert.equal(made.problem, undefined);
        assert.ok(made.usedEndLsn <= whole.usedEndLsn);
        assert.ok(made.usedEndLsn - made.startLsn <= length + 8);
        assert.deepEqual(made.commits, whole.commits.slice(0, made.commits.length));
        assert.deepEqual(made.events, whole.events.slice(0, made.events.length));
        const missed = whole.commits.filter(({ endLsn }) => endLsn <= made.usedEndLsn).length - made.commits.length;
        assert.equal(missed, 0);
      }),
      { numRuns: 100 },
    );
  });
});
