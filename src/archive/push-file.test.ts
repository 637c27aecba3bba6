import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { nameOf, sameBytes, testArchive, walSegment } from '../../test/support/test-archive.ts';
import { FilePusher } from './push-file.ts';
import { WalStore, type Stored } from './wal-store.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-push-'));
after(() => rmSync(root, { recursive: true, force: true }));

function fileWith(bytes: Uint8Array, name = nameOf(5)): string {
  const path = join(mkdtempSync(join(root, 'd')), name);
  writeFileSync(path, bytes);
  return path;
}

describe('pushing a file of pg_wal', () => {
  it('stores it, and tells it from every other file as stat does', async () => {
    const { store } = await testArchive();
    const pusher = new FilePusher(store);
    const path = fileWith(walSegment(5));
    const identity = execFileSync('stat', ['-c', '%i %s %Y', path], { encoding: 'utf8' }).trim();
    assert.deepEqual(await pusher.push(nameOf(5), path), { stored: 'stored', identity });
    assert.deepEqual(await pusher.push(nameOf(5), path), { stored: 'already-there', identity });
    sameBytes(await store.getSegment(nameOf(5)), walSegment(5));
  });

  it('stores files of every size one after the other', async () => {
    const { store } = await testArchive();
    const pusher = new FilePusher(store);
    const history = Buffer.from('1\t0/5000100\tno recovery target specified\n');
    await pusher.push(nameOf(5), fileWith(walSegment(5)));
    await pusher.push('00000002.history', fileWith(history));
    await pusher.push(nameOf(6), fileWith(walSegment(6)));
    sameBytes(await store.getHistory('00000002.history'), history);
    sameBytes(await store.getSegment(nameOf(5)), walSegment(5));
    sameBytes(await store.getSegment(nameOf(6)), walSegment(6));
  });

  it('stores with a history what pg_wal has of the timelines before it and the archive lacks', async () => {
    const { store } = await testArchive();
    const pusher = new FilePusher(store);
    await pusher.push(nameOf(3), fileWith(walSegment(3)));
    // Timeline 1 was left within segment 6.
    const directory = dirname(fileWith(Buffer.from('1\t0/600100\tno recovery target specified\n'), '00000002.history'));
    for (const n of [3, 4, 5, 6, 7]) writeFileSync(join(directory, nameOf(n)), walSegment(n));
    await pusher.push('00000002.history', join(directory, '00000002.history'));
    sameBytes(await store.getSegment(nameOf(4)), walSegment(4));
    sameBytes(await store.getSegment(nameOf(5)), walSegment(5));
    for (const n of [6, 7]) assert.equal(await store.findSegment(nameOf(n)), undefined, nameOf(n));
  });

  it('refuses a file that is changed meanwhile', async () => {
    const { store } = await testArchive();
    for (const change of [
      (path: string) => appendFileSync(path, 'x'),
      (path: string) => utimesSync(path, 1_800_000_000, 1_800_000_000),
    ]) {
      const path = fileWith(walSegment(5));
      class ChangingStore extends WalStore {
        override async put(): Promise<Stored> {
          change(path);
          return 'stored';
        }
      }
      const slow = new ChangingStore(store.cluster, store.incarnation);
      await assert.rejects(new FilePusher(slow).push(nameOf(5), path), {
        code: 'io',
        message: /was written to while it was being archived/,
      });
    }
  });

  it('refuses a file that is too large before it reads it, and one that it cannot read', async () => {
    const { store } = await testArchive();
    const pusher = new FilePusher(store);
    const large = fileWith(Buffer.alloc(store.segmentBytes + 1));
    await assert.rejects(pusher.push(nameOf(5), large), { code: 'wal-damaged', message: /has 1048577 bytes/ });
    await assert.rejects(pusher.push(nameOf(5), join(root, 'nowhere')), { code: 'io', hint: /archive_command’s %p/ });
  });
});
