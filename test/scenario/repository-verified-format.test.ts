import assert from 'node:assert/strict';
import { it } from 'node:test';
import { timeline } from '../../src/postgres/timeline.ts';
import { LogContents } from '../../src/archive/log-contents.ts';
import { LogVerification } from '../../src/archive/verify-log.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { summedBytes } from '../../src/repository/block-sums.ts';
import { VerifiedNotes } from '../../src/repository/verified-notes.ts';
import { verifyBackups } from '../../src/restore/verify-backups.ts';
import { verifyHere } from '../../src/restore/verifying.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { SecondReader, type ObjectSource } from '../support/second-reader.ts';
import { notedDigest, readVerified } from '../support/second-reader-verified.ts';
import { SummedBackups } from '../support/summed-backups.ts';
import { incarnationOf, mebibyte, nameOf, walSegment } from '../support/test-archive.ts';
import { countingBytes, noon, testRepository } from '../support/test-repository.ts';

/* docs/repository-format.md, "What was verified": the second reader finds there what the page says. */

const passphrase = 'correct horse battery staple';
const id = '20261123T083834Z-full';
const log = 'wal/1/00000001/00000000';

function sourceOf(storage: MemoryStorage): ObjectSource {
  return {
    get: (key) => storage.objects.get(key),
    keys: (prefix) => [...storage.objects.keys()].filter((key) => key.startsWith(prefix)),
  };
}

for (const segmentsPerLog of [2, 4096]) {
  it(`what was verified is what is there, of a log that is ${segmentsPerLog === 2 ? '' : 'not '}whole`, async () => {
    const storage = new MemoryStorage();
    const repository = await testRepository({ storage, passphrase });
    const cluster = repository.cluster('main');
    const backups = new SummedBackups(cluster, countingBytes('content'));
    await backups.add(id, {
      'base/1': { sizeBytes: 3 * summedBytes, changed: [] },
      'base/2': { sizeBytes: 5, changed: [] },
    });
    const store = new WalStore(cluster, incarnationOf(mebibyte));
    for (const number of [1, 2]) await store.putSegment(nameOf(number), walSegment(number));

    const notes = await VerifiedNotes.open(cluster, { now: noon });
    const verifying = verifyHere(cluster);
    const nothing = (): void => undefined;
    await verifyBackups({
      cluster,
      records: await cluster.listBackups(),
      alsoElsewhere: new Set(),
      notes,
      verifying,
      signal: new AbortController().signal,
      onProgress: nothing,
      onTotal: nothing,
      say: nothing,
    });
    await verifying.close();
    const there = await LogContents.read(store, timeline(1), 0n);
    await new LogVerification(there, { notes }, segmentsPerLog).end();
    await notes.save();

    const found = readVerified(new SecondReader(sourceOf(storage), passphrase).object('clusters/main/verified'));
    const sizeOf = (key: string): number => storage.objects.get(`clusters/main/${key}`)?.length ?? 0;
    const { packs, sizeBytes } = await cluster.readRecord(id);
    const digests = ['wal', 'wal-index'].flatMap((folder) => {
      const prefix = `clusters/main/${folder}/1/00000001/00000000/`;
      return [...storage.objects.keys()]
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length))
        .map((name) =>
          notedDigest([folder === 'wal' ? 'content' : 'index', name, sizeOf(`${prefix.slice(14)}${name}`)]),
        );
    });
    assert.equal(digests.length, 4);
    const expected = new Map<string, string[]>([
      [`backups/${id}`, [notedDigest([3, sizeBytes, ...packs])]],
      ...packs.map((pack) => [`packs/${pack}`, [notedDigest([sizeOf(`packs/${pack}`)])]] satisfies [string, string[]]),
      [log, segmentsPerLog === 2 ? [notedDigest(['whole', ...digests.toSorted()])] : digests.toSorted()],
    ]);
    assert.deepEqual(new Map(found.map(({ name, digests: all }) => [name, all.toSorted()])), expected);
    for (const { seconds } of found) assert.equal(seconds, noon().getTime() / 1000);
  });
}
