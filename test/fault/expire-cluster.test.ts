import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findGaps, liesIn, recoverableSpans } from '../../src/archive/recoverable.ts';
import { writeGroups } from '../../src/archive/roll-up.ts';
import { readWalCatalogue } from '../../src/archive/wal-catalogue.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { executeExpiry, expireNamed, type ExpireOptions } from '../../src/cli/expire-cluster.ts';
import { surveyExpiry, type ExpirySubject } from '../../src/cli/survey-expiry.ts';
import { formatLsn, lsn } from '../../src/postgres/lsn.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { claimReferences, readClaims } from '../../src/repository/claim.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { copyOf, failEverywhere } from '../support/fault-loop.ts';
import { readBackup, reopened, sameFiles } from '../support/made-up-backup.ts';
import { packChunks, writeBackup } from '../support/packed-backups.ts';
import { dayMs, nowMs, policy, type Policy } from '../support/retention.ts';
import { gibibyte, nameOf, putMadeUp, segmentAt, testArchive, type TestArchive } from '../support/test-archive.ts';
import { countingBytes } from '../support/test-repository.ts';

/* The whole of an expiry: records, WAL and packs. Segments have 1 GiB, a day has one. */

const bytes = countingBytes('expire-cluster');
const chunks = (count: number): Buffer[] => Array.from({ length: count }, () => Buffer.from(bytes(500)));

/** A backup of the day of that segment. */
function takenOn(day: number, changes: Partial<BackupRecord> = {}): Partial<BackupRecord> {
  const at = (part: number): string => formatLsn(lsn(BigInt((day + part) * gibibyte)));
  const time = (part: number): string => new Date(nowMs - (14 - day - part) * dayMs).toISOString();
  return {
    startedAt: time(0.25),
    stoppedAt: time(0.5),
    startLsn: at(0.25),
    endLsn: at(0.5),
    checkpointLsn: at(0.25),
    startSegment: nameOf(day, 1, gibibyte),
    stopSegment: nameOf(day, 1, gibibyte),
    ...changes,
  };
}

const ids = ['01-full', '04-incremental', '06-full', '09-full', '11-incremental'] as const;
type Contents = ReadonlyMap<string, ReadonlyMap<string, Buffer | string>>;

async function filled(): Promise<{ readonly archive: TestArchive; readonly expected: Contents }> {
  const archive = await testArchive({ segmentBytes: gibibyte });
  const { store } = archive;
  for (let number = 0; number < 14; number += 1) await putMadeUp(store, segmentAt(number));
  for (const log of [0n, 1n, 2n]) await store.index.rollUpLog(timeline(1), log);
  await writeGroups(store, { timeline: timeline(1), log: 3n });
  const cluster = archive.repository.cluster('main');
  const [one, two, three] = [
    await packChunks(cluster, chunks(10)),
    await packChunks(cluster, chunks(4)),
    await packChunks(cluster, chunks(2)),
  ];
  const files = [
    { 'base/1': one },
    { 'base/1': [...one.slice(0, 9), ...two.slice(0, 1)] },
    { 'base/1': [...one.slice(0, 2), ...two] },
    { 'base/1': [...one.slice(0, 2), ...two.slice(0, 3)] },
    { 'base/1': [...one.slice(0, 1), ...two.slice(0, 3), ...three] },
  ];
  const expected = new Map<string, ReadonlyMap<string, Buffer | string>>();
  for (const [i, id] of ids.entries()) {
    const type = id.endsWith('full') ? 'full' : 'incremental';
    const day = Number(id.split('-')[0]);
    expected.set(id, await writeBackup(cluster, id, files[i] ?? {}, takenOn(day, { type })));
  }
  return { archive, expected };
}

function subjectOf(archive: TestArchive, cluster: ClusterRepository, rules: Policy): ExpirySubject {
  const settings = policy(rules);
  return { cluster, incarnations: [archive.store.incarnation], settings, now: new Date(nowMs), force: false };
}

const options: ExpireOptions = {
  lock: { purpose: 'expire', now: () => new Date(nowMs), randomBytes: countingBytes('locks') },
  signal: new AbortController().signal,
  say: () => undefined,
};

/** Every backup that is listed is as it was, and has the WAL that it needs. Gives what is listed. */
async function checkListed(archive: TestArchive, cluster: ClusterRepository, expected: Contents): Promise<string[]> {
  const backups = await cluster.listBackups();
  const catalogue = await readWalCatalogue(new WalStore(cluster, archive.store.incarnation));
  for (const backup of backups) {
    sameFiles(await readBackup(cluster, backup.id), expected.get(backup.id) ?? new Map());
    assert.ok(
      catalogue.ranges.some((range) => liesIn(backup, range)),
      `WAL of ${backup.id}`,
    );
  }
  assert.deepEqual(findGaps(backups, catalogue, gibibyte), []);
  return backups.map(({ id }) => id);
}

async function expire(archive: TestArchive, storage: Storage, rules: Policy): Promise<void> {
  const subject = subjectOf(archive, reopened(archive.repository, storage), rules);
  await executeExpiry(subject, await surveyExpiry(subject), options);
}

describe('whatever goes wrong in the repository while a cluster’s backups and WAL expire', () => {
  const cases: readonly [string, Policy, readonly string[], number][] = [
    ['the newest full ones and all WAL after them', { full: 2, walDays: 'all' }, ids.slice(2), 6],
    ['one full one and the WAL of two days', { full: 1, walDays: 2 }, ids.slice(3), 11],
  ];
  for (const [what, rules, stays, recoverableFrom] of cases) {
    it(`what is listed restores with its WAL, and the next expiry leaves what it should: ${what}`, async () => {
      const { archive, expected } = await filled();
      const faults = await failEverywhere({
        begun: new Map(archive.objects),
        act: async (storage) => expire(archive, storage, rules),
        after: async (storage) => {
          // The process is gone, its locks with it.
          for (const key of storage.objects.keys()) if (key.includes('/locks/')) storage.objects.delete(key);
          const cluster = reopened(archive.repository, storage);
          const listed = await checkListed(archive, cluster, expected);
          for (const id of stays) assert.ok(listed.includes(id), `${id} is gone`);
          await expire(archive, storage, rules);
          assert.deepEqual(await checkListed(archive, cluster, expected), stays);
          const backups = await cluster.listBackups();
          const named = new Set(backups.flatMap(({ packs }) => packs));
          assert.deepEqual(new Set(await cluster.listPacks()), named);
          const catalogue = await readWalCatalogue(new WalStore(cluster, archive.store.incarnation));
          const spans = recoverableSpans(backups, catalogue, gibibyte);
          const last = spans.at(-1);
          assert.deepEqual(
            [Number(last?.fromLsn) / gibibyte, Number(last?.toLsn) / gibibyte],
            [recoverableFrom + 0.5, 14],
          );
        },
      });
      assert.ok(faults > 300, `only ${faults} faults`);
    });
  }
});

describe('two at once', () => {
  const rules: Policy = { full: 1, walDays: 2 };

  it('a backup that has claimed a reference finds it, although the reference expires', async () => {
    const { archive, expected } = await filled();
    const cluster = archive.repository.cluster('main');
    const claim = await claimReferences(cluster, 'running', [ids[2]], options.lock);
    await using lock = await cluster.lock('backup', options.lock);
    await expire(archive, archive.storage, rules);
    assert.deepEqual(
      (await cluster.listBackups()).map(({ id }) => id),
      ids.slice(3),
    );
    sameFiles(await readBackup(cluster, ids[2]), expected.get(ids[2]) ?? new Map());
    const catalogue = await readWalCatalogue(archive.store);
    assert.equal(Number(catalogue.ranges.at(-1)?.startLsn) / gibibyte, 6, 'its WAL stays, too');
    await claim.release();
    await lock.release();
    await expire(archive, archive.storage, rules);
    assert.deepEqual(await cluster.listNames(`backups/${ids[2]}`), []);
    assert.deepEqual(await checkListed(archive, cluster, expected), ids.slice(3));
  });

  it('a backup and an expiry that meet at any operation: the reference is refused, or whole', async () => {
    const { archive, expected } = await filled();
    let [refused, granted] = [0, 0];
    for (let at = 1; ; at += 1) {
      const storage = copyOf(archive.objects);
      const cluster = reopened(archive.repository, storage);
      const meeting = meetAt(storage, at, async () => claimReferences(cluster, 'running', [ids[0]], options.lock));
      await expire(archive, meeting.storage, rules);
      const outcome = meeting.outcome();
      if (!outcome) break;
      const claim = await outcome.catch((error: unknown) => error);
      if (claim instanceof Error) {
        assert.equal((claim as { code?: string }).code, 'reference-expired');
        refused += 1;
      } else {
        granted += 1;
        sameFiles(await readBackup(cluster, ids[0]), expected.get(ids[0]) ?? new Map());
        assert.equal((await readClaims(cluster)).length, 1);
      }
    }
    assert.ok(refused > 20 && granted > 5, `${refused} refused, ${granted} granted`);
  });

  it('two expiries: the second is told that the first is running', async () => {
    const { archive } = await filled();
    const cluster = archive.repository.cluster('main');
    await using _lock = await cluster.lock('expire', options.lock);
    await assert.rejects(cluster.lock('expire', options.lock), { code: 'locked' });
  });

  it('an expiry beside a backup leaves the packs that the backup stores', async () => {
    const { archive, expected } = await filled();
    const cluster = archive.repository.cluster('main');
    await using _lock = await cluster.lock('backup', options.lock);
    const stored = await packChunks(cluster, chunks(1));
    const swept = await expireNamed(cluster, ids[0], new Date(nowMs), { ...options, damaged: [] });
    assert.match(swept?.notes.join() ?? '', /a backup is running/);
    assert.ok((await cluster.listPacks()).includes(stored[0]?.extent.pack ?? assert.fail()));
    assert.deepEqual(await checkListed(archive, cluster, expected), ids.slice(1));
  });
});

/** Does something else in the middle: before the `at`-th operation of the storage. */
function meetAt<T>(
  inner: Storage,
  at: number,
  action: () => Promise<T>,
): { readonly storage: Storage; readonly outcome: () => Promise<T> | undefined } {
  let count = 0;
  let outcome: Promise<T> | undefined;
  const meet = async (): Promise<void> => {
    count += 1;
    if (count !== at) return;
    outcome = action();
    await outcome.catch(() => undefined);
  };
  const storage: Storage = {
    description: inner.description,
    create: async (...given) => meet().then(async () => inner.create(...given)),
    put: async (...given) => meet().then(async () => inner.put(...given)),
    get: async (...given) => meet().then(async () => inner.get(...given)),
    open: async (...given) => meet().then(async () => inner.open(...given)),
    stat: async (...given) => meet().then(async () => inner.stat(...given)),
    settle: async (...given) => meet().then(async () => inner.settle(...given)),
    delete: async (...given) => meet().then(async () => inner.delete(...given)),
    async *list(prefix) {
      await meet();
      yield* inner.list(prefix);
    },
  };
  return { storage, outcome: () => outcome };
}
