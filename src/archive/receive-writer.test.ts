import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import { sinkInto, type SegmentStore } from './receive-sink.ts';
import { WalWriter } from './receive-writer.ts';

const segmentBytes = 1024 * 1024;
const startLsn = lsn(5 * segmentBytes);
const nameOf = (number: number): string => `0000000100000000${number.toString(16).toUpperCase().padStart(8, '0')}`;

const root = mkdtempSync(join(tmpdir(), 'pgrecall-receive-'));
after(() => rmSync(root, { recursive: true, force: true }));

const wal = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => (index % 251) + 1);

/** A difference shows as lengths and hashes: printing a megabyte of bytes takes minutes. */
const same = (found: Uint8Array | undefined, expected: Uint8Array): void =>
  assert.deepEqual(digest(found), digest(expected));

const digest = (bytes: Uint8Array | undefined): unknown =>
  bytes && { length: bytes.length, sha256: hash('sha256', bytes) };

/** An archive in memory that can be made to fail. */
class Shelf implements SegmentStore {
  readonly segments = new Map<string, Uint8Array>();
  readonly partials = new Map<string, Uint8Array>();
  failing = false;

  async putSegment(name: string, bytes: Uint8Array): Promise<void> {
    if (this.failing) throw new PgrecallError('storage', 'the storage is away');
    this.segments.set(name, Uint8Array.from(bytes));
  }

  async putPartial(name: string, bytes: Uint8Array): Promise<void> {
    if (this.failing) throw new PgrecallError('storage', 'the storage is away');
    this.partials.set(name, Uint8Array.from(bytes));
  }

  async putHistory(): Promise<void> {}
}

const setUp = (): { shelf: Shelf; directory: string; open: () => Promise<WalWriter> } => {
  const shelf = new Shelf();
  const directory = join(mkdtempSync(join(root, 'd')), 'receiving');
  const open = async (): Promise<WalWriter> => {
    const writer = new WalWriter({ directory, segmentBytes, sink: sinkInto(shelf), report: () => undefined });
    await writer.storeLeftBehind();
    writer.begin(timeline(1), startLsn);
    return writer;
  };
  return { shelf, directory, open };
};

describe('received WAL', () => {
  it('goes into the repository segment by segment, and leaves this host only then', async () => {
    const { shelf, directory, open } = setUp();
    const writer = await open();
    const flushed: bigint[] = [];
    const all = wal(2 * segmentBytes + 100);
    for (let at = 0; at < all.length; at += 300_000) {
      await writer.append(all.subarray(at, at + 300_000), () => flushed.push(writer.flushedLsn));
    }
    assert.deepEqual(flushed, [lsn(6 * segmentBytes), lsn(7 * segmentBytes)]);
    assert.equal(writer.flushedLsn, lsn(7 * segmentBytes), 'what is not synced is not called flushed');
    writer.sync();
    assert.equal(writer.flushedLsn, lsn(7 * segmentBytes + 100));
    await writer.letGo();
    assert.deepEqual([...shelf.segments.keys()], [nameOf(5), nameOf(6)]);
    same(Buffer.concat([...shelf.segments.values()]), all.subarray(0, 2 * segmentBytes));
    same(shelf.partials.get(nameOf(7)), all.subarray(2 * segmentBytes));
    assert.deepEqual(readdirSync(directory), [`${nameOf(7)}.partial`]);
  });

  it('stays on this host while the repository is away, and is stored at the next start', async () => {
    const { shelf, directory, open } = setUp();
    const writer = await open();
    shelf.failing = true;
    await writer.append(wal(segmentBytes + 10), () => undefined);
    await assert.rejects(writer.letGo(), /the storage is away/);
    assert.deepEqual(readdirSync(directory).toSorted(), [nameOf(5), `${nameOf(6)}.partial`]);
    shelf.failing = false;
    await open();
    same(shelf.segments.get(nameOf(5)), wal(segmentBytes + 10).subarray(0, segmentBytes));
    assert.deepEqual(readdirSync(directory), [`${nameOf(6)}.partial`]);
  });

  it('stops taking WAL when the repository stays away', async () => {
    const { shelf, open } = setUp();
    const writer = await open();
    shelf.failing = true;
    await assert.rejects(
      writer.append(wal(8 * segmentBytes), () => undefined),
      /the storage is away/,
    );
  });

  it('never makes the stored beginning of a segment shorter when it is received again', async () => {
    const { shelf, open } = setUp();
    const first = await open();
    await first.append(wal(9000), () => undefined);
    await first.letGo();
    const second = await open();
    await second.append(wal(9000).subarray(0, 100), () => undefined);
    await second.letGo();
    assert.equal(shelf.partials.get(nameOf(5))?.length, 9000);
  });

  it('keeps the last segment of a timeline as the beginning that it is', async () => {
    const { shelf, directory, open } = setUp();
    const writer = await open();
    await writer.append(wal(5000), () => undefined);
    await writer.endTimeline();
    same(shelf.partials.get(nameOf(5)), wal(5000));
    assert.deepEqual(readdirSync(directory), []);
  });

  it('stores what was begun on a timeline that is not gone on with', async () => {
    const { shelf, directory, open } = setUp();
    await open();
    const content = Buffer.alloc(segmentBytes);
    content.set(wal(777));
    writeFileSync(join(directory, `${nameOf(9)}.partial`), content);
    const writer = await open();
    const begun = await writer.storeLeftBehind();
    assert.deepEqual(begun, [{ name: nameOf(9), timeline: 1, startLsn: lsn(9 * segmentBytes) }]);
    same(shelf.partials.get(nameOf(9)), wal(777));
    for (const segment of begun) writer.abandon(segment);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('stores the beginning of a segment beside what goes on', async () => {
    const { shelf, directory, open } = setUp();
    const writer = await open();
    await writer.append(wal(400), () => undefined);
    writer.storePartialInBackground();
    await nextTurn();
    await writer.append(wal(segmentBytes).subarray(400), () => undefined);
    await writer.letGo();
    same(shelf.partials.get(nameOf(5)), wal(400));
    same(shelf.segments.get(nameOf(5)), wal(segmentBytes));
    assert.deepEqual(readdirSync(directory), []);
    assert.throws(() => readFileSync(join(directory, nameOf(5))), /ENOENT/);
  });
});
