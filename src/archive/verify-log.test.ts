import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nameOf, testArchive, walSegment, type TestArchive } from '../../test/support/test-archive.ts';
import { noon } from '../../test/support/test-repository.ts';
import { timeline } from '../postgres/timeline.ts';
import { VerifiedNotes } from '../repository/verified-notes.ts';
import { LogContents } from './log-contents.ts';
import { LogVerification } from './verify-log.ts';
import type { VerifyWalTask, WalDamage } from './verify-wal-items.ts';
import { verifyWalObjects } from './verify-wal-objects.ts';

const dayMs = 86_400_000;
const one = timeline(1);

interface Verified {
  readonly read: readonly string[];
  readonly indexes: readonly string[];
  readonly damage: readonly WalDamage[];
}

/** Verifies the first log as `verifyWal` does; `days`: since noon. */
async function verifyLog(
  { store }: TestArchive,
  options: { readonly days?: number; readonly sinceMs?: number; readonly segmentsPerLog?: number } = {},
): Promise<Verified> {
  const { days = 0, sinceMs, segmentsPerLog = 4096 } = options;
  const now = (): Date => new Date(noon().getTime() + days * dayMs);
  const notes = await VerifiedNotes.open(store.cluster, { now, sinceMs });
  const log = new LogVerification(await LogContents.read(store, one, 0n), { notes }, segmentsPerLog);
  const tasks: VerifyWalTask[] = [...log.tasks(one, 0n)];
  const damage: WalDamage[] = [];
  for (const task of tasks) {
    await log.run(async () => {
      const found = await verifyWalObjects(store, task);
      damage.push(...found.damage);
      return found.damage;
    });
  }
  await log.end();
  await notes.save();
  return {
    read: tasks.flatMap(({ names }) => names).map((name) => name.slice(0, 24)),
    indexes: tasks.flatMap(({ indexes }) => indexes),
    damage,
  };
}

async function archiveOf(...numbers: readonly number[]): Promise<TestArchive> {
  const archive = await testArchive();
  for (const number of numbers) await archive.store.putSegment(nameOf(number), walSegment(number));
  return archive;
}

function keyOf({ objects }: TestArchive, folder: string, number: number): string {
  const key = [...objects.keys()].find((name) => name.includes(`/${folder}/`) && name.includes(`/${nameOf(number)}`));
  assert.ok(key, `no object of segment ${number}`);
  return key;
}

function flip({ objects }: TestArchive, key: string, at: number): void {
  const bytes = Buffer.from(objects.get(key) ?? '');
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  objects.set(key, bytes);
}

describe('a log that goes on being filled', () => {
  it('is read as far as it is new, and again when it is due', async () => {
    const archive = await archiveOf(3, 4);
    assert.deepEqual((await verifyLog(archive)).read, [nameOf(3), nameOf(4)]);
    await archive.store.putSegment(nameOf(5), walSegment(5));
    const since = { sinceMs: 7 * dayMs };
    assert.deepEqual((await verifyLog(archive, { ...since, days: 3 })).read, [nameOf(5)]);
    assert.deepEqual((await verifyLog(archive, { ...since, days: 4 })).read, []);
    const due = await verifyLog(archive, { ...since, days: 8 });
    assert.deepEqual(due.read, [nameOf(3), nameOf(4), nameOf(5)], 'the earliest of it counts');
    assert.deepEqual((await verifyLog(archive, { days: 8 })).read.length, 3, 'without a period everything is');
  });

  it('takes one digest when it is whole', async () => {
    const archive = await archiveOf(1, 2, 3);
    await verifyLog(archive, { segmentsPerLog: 3 });
    const notes = await VerifiedNotes.open(archive.store.cluster, { now: noon, sinceMs: dayMs });
    assert.equal(notes.recent('wal/1/00000001/00000000')?.digests.size, 1);
    assert.deepEqual((await verifyLog(archive, { sinceMs: dayMs, segmentsPerLog: 3 })).read, []);
    archive.objects.delete(keyOf(archive, 'wal', 2));
    const less = await verifyLog(archive, { sinceMs: dayMs, segmentsPerLog: 3 });
    assert.deepEqual(less.read, [nameOf(1), nameOf(3)], 'what it was no longer is');
  });

  it('has segments read again that have another size', async () => {
    const archive = await archiveOf(3, 4);
    await verifyLog(archive);
    const key = keyOf(archive, 'wal', 4);
    const bytes = archive.objects.get(key) ?? new Uint8Array();
    archive.objects.set(key, bytes.subarray(0, bytes.length - 1));
    const { read, damage } = await verifyLog(archive, { sinceMs: dayMs });
    assert.deepEqual(read, [nameOf(4)]);
    assert.deepEqual(
      damage.map(({ name, what }) => [name, what]),
      [[nameOf(4), 'content']],
    );
  });

  it('never forgets damage', async () => {
    for (const [folder, what] of [
      ['wal', 'content'],
      ['wal-index', 'index'],
    ] as const) {
      const archive = await archiveOf(3, 4);
      flip(archive, keyOf(archive, folder, 3), -40);
      for (const options of [{}, { sinceMs: dayMs }, { sinceMs: dayMs }]) {
        const { damage } = await verifyLog(archive, options);
        assert.deepEqual(
          damage.map((found) => [found.name, found.what]),
          [[nameOf(3), what]],
        );
      }
      assert.deepEqual(
        (await verifyLog(archive, { sinceMs: dayMs })).read,
        [nameOf(3)],
        'and reads nothing else again',
      );
    }
  });

  it('has an index read alone where that is all that is new', async () => {
    const archive = await archiveOf(3, 4);
    const index = keyOf(archive, 'wal-index', 3);
    const bytes = archive.objects.get(index) ?? new Uint8Array();
    archive.objects.delete(index);
    await verifyLog(archive);
    archive.objects.set(index, bytes);
    const found = await verifyLog(archive, { sinceMs: dayMs });
    assert.deepEqual([found.read, found.indexes, found.damage], [[], [nameOf(3)], []]);
    flip(archive, index, -40);
    assert.equal((await verifyLog(archive, { sinceMs: dayMs })).damage.length, 0, 'known by its size');
    assert.equal((await verifyLog(archive)).damage.length, 1);
  });

  it('misses nothing that was taken away while it was read', async () => {
    const archive = await archiveOf(3, 4);
    const { store } = archive;
    const task = {
      timeline: one,
      log: 0n,
      names: (await store.cluster.listNames(store.keys.logFolder(one, 0n))).toSorted(),
      indexes: [],
      rolledUp: true,
    };
    archive.objects.delete(keyOf(archive, 'wal', 4));
    assert.deepEqual((await verifyWalObjects(store, task)).damage, []);
  });
});
