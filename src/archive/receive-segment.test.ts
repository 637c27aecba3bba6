import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { usedBytes } from './partial-segment.ts';
import { ReceivingSegment, readLeftBehind, removeReceived } from './receive-segment.ts';

const sizeBytes = 1024 * 1024;
const name = '000000010000000000000003';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-receive-'));
after(() => rmSync(root, { recursive: true, force: true }));

const newDirectory = (): string => mkdtempSync(join(root, 'd'));

/** Bytes without zeros, other ones for every seed. */
const wal = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => ((index + seed) % 255) + 1);

describe('a segment being received', () => {
  it('is written, completed, and found by the next run', () => {
    const directory = newDirectory();
    const segment = new ReceivingSegment(directory, name, sizeBytes);
    const content = wal(sizeBytes);
    assert.equal(segment.append(content.subarray(0, 1000)), 1000);
    assert.deepEqual(readLeftBehind(directory), { whole: [], begun: [name] });
    // More than belongs to it: it takes its own.
    assert.equal(segment.append(Buffer.concat([content.subarray(1000), wal(50)])), sizeBytes - 1000);
    assert.equal(segment.whole, true);
    const path = segment.complete();
    assert.deepEqual(readLeftBehind(directory), { whole: [name], begun: [] });
    assert.deepEqual(Uint8Array.from(readFileSync(path)), content);
    removeReceived(path);
    removeReceived(path);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('is never larger than a segment, and zero beyond what was received', () => {
    const directory = newDirectory();
    const segment = new ReceivingSegment(directory, name, sizeBytes);
    segment.append(wal(300));
    segment.close();
    const file = readFileSync(segment.path);
    assert.equal(file.length, sizeBytes);
    assert.equal(usedBytes(file), 300);
    assert.equal(statSync(segment.path).mode & 0o777, 0o600);
  });

  it('is gone on with after a crash, and what was there stays worth keeping meanwhile', () => {
    const directory = newDirectory();
    const before = new ReceivingSegment(directory, name, sizeBytes);
    before.append(wal(70_000));
    before.close();
    const again = new ReceivingSegment(directory, name, sizeBytes);
    assert.equal(again.receivedBytes, 0);
    assert.equal(again.worthBytes, 70_000);
    again.append(wal(80_000).subarray(0, 40_000));
    assert.equal(again.worthBytes, 70_000);
    again.append(wal(80_000).subarray(40_000));
    assert.equal(again.worthBytes, 80_000);
    again.close();
    assert.deepEqual(Uint8Array.from(readFileSync(again.path).subarray(0, 80_000)), wal(80_000));
  });

  it('takes pages that a power cut had not let reach the disk', () => {
    const directory = newDirectory();
    const torn = wal(30_000);
    torn.fill(0, 8192, 16_384);
    writeFileSync(join(directory, `${name}.partial`), torn);
    const again = new ReceivingSegment(directory, name, sizeBytes);
    again.append(wal(30_000));
    again.close();
    assert.deepEqual(Uint8Array.from(readFileSync(again.path).subarray(0, 30_000)), wal(30_000));
  });

  it('refuses other WAL at the same place, and keeps what was there', () => {
    const directory = newDirectory();
    const before = new ReceivingSegment(directory, name, sizeBytes);
    before.append(wal(70_000));
    before.close();
    const again = new ReceivingSegment(directory, name, sizeBytes);
    again.append(wal(60_000));
    const changed = wal(70_000).subarray(60_000).slice();
    changed[123] = 0;
    assert.throws(
      () => again.append(changed),
      (error) => hasCode(error, 'wal-other-content') && error.details['offset'] === 60_123,
    );
    again.close();
    assert.deepEqual(Uint8Array.from(readFileSync(again.path).subarray(0, 70_000)), wal(70_000));
  });

  it('leaves files alone that are none of its own', () => {
    const directory = newDirectory();
    writeFileSync(join(directory, 'README'), '');
    writeFileSync(join(directory, `${name}.partial.damaged`), '');
    assert.deepEqual(readLeftBehind(directory), { whole: [], begun: [] });
  });
});
