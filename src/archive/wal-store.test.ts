import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  gibibyte,
  identifier,
  incarnationOf,
  mebibyte,
  nameOf,
  sameBytes,
  segmentAt,
  testArchive,
  walSegment,
  type TestArchive,
} from '../../test/support/test-archive.ts';
import { collect } from '../../test/support/test-repository.ts';
import { WalBuilder } from '../../test/support/wal-builder.ts';
import { indexSegment } from '../wal/index-segment.ts';
import { WalStore } from './wal-store.ts';

const secret = 'correct horse battery staple';
const history = Buffer.from('1\t0/5000100\tno recovery target specified\n');

const walKeys = ({ objects }: TestArchive): string[] =>
  [...objects.keys()].filter((key) => key.includes('/wal')).map((key) => key.replace('clusters/main/', ''));

/** Without the hash in it. */
const stored = (archive: TestArchive): string[] =>
  walKeys(archive)
    .map((key) => key.replace(/-[0-9a-f]{64}$/, ''))
    .toSorted();

for (const passphrase of [undefined, secret]) {
  describe(`the WAL archive in ${passphrase === undefined ? 'a plain' : 'an encrypted'} repository`, () => {
    const archive = async (): Promise<TestArchive> => testArchive(passphrase === undefined ? {} : { passphrase });

    it('gives a segment back as it came, and says what it says', async () => {
      const { store } = await archive();
      const segment = walSegment(5, { commits: [1000n, 2000n], restorePoint: 'before' });
      assert.equal(await store.getSegment(nameOf(5)), undefined);
      assert.equal(await store.findSegment(nameOf(5)), undefined);
      assert.equal(await store.putSegment(nameOf(5), segment), 'stored');
      sameBytes(await store.getSegment(nameOf(5)), segment);
      sameBytes(await store.get(nameOf(5)), segment);
      assert.deepEqual(await store.index.read(segmentAt(5)), indexSegment(segment));
      const found = await collect(store.listSegments());
      assert.deepEqual(found, [await store.findSegment(nameOf(5))]);
    });

    it('takes the same content again, and stores nothing new', async () => {
      const made = await archive();
      const segment = walSegment(5);
      await made.store.putSegment(nameOf(5), segment);
      const before = new Map(made.objects);
      assert.equal(await made.store.putSegment(nameOf(5), segment), 'already-there');
      assert.deepEqual([...made.objects.keys()], [...before.keys()]);
    });

    it('refuses other content under a name that is taken, and keeps what was there', async () => {
      const made = await archive();
      const first = walSegment(5, { seed: 1 });
      await made.store.putSegment(nameOf(5), first);
      const keys = walKeys(made);
      await assert.rejects(made.store.putSegment(nameOf(5), walSegment(5, { seed: 2 })), {
        code: 'wal-other-content',
        exitStatus: 1,
      });
      assert.deepEqual(walKeys(made), keys);
      sameBytes(await made.store.getSegment(nameOf(5)), first);
      assert.equal(await made.store.putSegment(nameOf(5), first), 'already-there');
    });

    it('tells timelines and logs apart', async () => {
      const made = await archive();
      const segments = [
        [nameOf(5), walSegment(5)],
        [nameOf(5, 2), walSegment(5, { timeline: 2 })],
        [nameOf(4096 + 5), walSegment(4096 + 5)],
      ] as const;
      for (const [name, segment] of segments) await made.store.putSegment(name, segment);
      for (const [name, segment] of segments) sameBytes(await made.store.getSegment(name), segment);
      assert.deepEqual(await made.store.listTimelines(), [1, 2]);
      assert.deepEqual(await made.store.listLogs(segmentAt(5).timeline), [0n, 1n]);
      const names = (await collect(made.store.listSegments())).map(({ name }) => name);
      assert.deepEqual(names, [nameOf(5), nameOf(4096 + 5), nameOf(5, 2)]);
    });

    it('keeps histories and notes about backups, and refuses other ones of the same name', async () => {
      const made = await archive();
      const note = Buffer.from('START WAL LOCATION: 0/500028\n');
      const files = [
        ['00000002.history', history],
        [`${nameOf(5)}.00000028.backup`, note],
      ] as const;
      for (const [name, bytes] of files) {
        assert.equal(await made.store.get(name), undefined);
        assert.equal(await made.store.put(name, bytes), 'stored');
        assert.equal(await made.store.put(name, bytes), 'already-there');
        const other = Buffer.concat([bytes, Buffer.from('# more\n')]);
        await assert.rejects(made.store.put(name, other), { code: 'wal-other-content' });
        sameBytes(await made.store.get(name), bytes);
      }
      // The note lies beside its segment, and is none.
      await made.store.putSegment(nameOf(5), walSegment(5));
      assert.equal((await collect(made.store.listSegments())).length, 1);
      const histories = await made.store.readHistories();
      assert.deepEqual([...histories.keys()], [2]);
      assert.deepEqual(histories.get(segmentAt(5, 2).timeline)?.parents[0]?.switchLsn, 0x500_0100n);
    });
  });
}

describe('what is not archived', () => {
  it('is a segment of another system identifier', async () => {
    const { store } = await testArchive();
    await assert.rejects(store.putSegment(nameOf(5), walSegment(5, { systemIdentifier: 42n })), {
      code: 'wal-other-cluster',
      message: /has the system identifier 42; the cluster in the repository has 7000000000000000001/,
    });
  });

  it('is a file of another size', async () => {
    const { store } = await testArchive();
    const segment = walSegment(5);
    for (const bytes of [segment.subarray(0, 8192), Buffer.concat([segment, Buffer.alloc(8192)]), Buffer.alloc(0)]) {
      await assert.rejects(store.putSegment(nameOf(5), bytes), { code: 'wal-damaged', message: /where segments have/ });
    }
    const larger = walSegment(5, { segmentBytes: 2 * mebibyte });
    await assert.rejects(store.putSegment(nameOf(5), larger.subarray(0, mebibyte)), {
      code: 'wal-damaged',
      message: /it says that segments have 2097152 bytes/,
    });
  });

  it('is a segment whose name says another place or an older timeline', async () => {
    const { store } = await testArchive();
    await assert.rejects(store.putSegment(nameOf(6), walSegment(5)), {
      code: 'wal-damaged',
      message: /it begins at 0\/500000 where its name says 0\/600000/,
    });
    await assert.rejects(store.putSegment(nameOf(5, 2), walSegment(5, { timeline: 3 })), {
      code: 'wal-damaged',
      message: /its first page is of timeline 3/,
    });
  });

  it('is what is no WAL at all', async () => {
    const { store } = await testArchive();
    await assert.rejects(store.putSegment(nameOf(5), Buffer.alloc(mebibyte)), { code: 'wal-damaged' });
    for (const name of ['RECOVERYXLOG', '00000002.HISTORY', '../../etc/passwd', `${nameOf(5)}.tmp`, '', 'x.history']) {
      await assert.rejects(store.put(name, walSegment(5)), { code: 'wal-name', exitStatus: 2 });
      await assert.rejects(store.get(name), { code: 'wal-name' });
    }
    // The 256th of a log that has room for 4,096 is another one's name.
    await assert.rejects(
      testArchive({ segmentBytes: gibibyte }).then(({ store: large }) => large.get(nameOf(5))),
      {
        code: 'wal-name',
      },
    );
    await assert.rejects(store.putHistory('00000002.history', Buffer.from('1\t0/50001')), { code: 'decode' });
    await assert.rejects(store.putHistory('00000001.history', history), { code: 'decode' });
  });

  it('leaves nothing behind', async () => {
    const archive = await testArchive();
    await assert.rejects(archive.store.putSegment(nameOf(6), walSegment(5)));
    await assert.rejects(archive.store.putPartial(nameOf(6), walSegment(5)));
    assert.deepEqual(walKeys(archive), []);
  });
});

describe('what is archived all the same', () => {
  it('is WAL of a version that is not known yet; only its index is missing', async () => {
    const { store } = await testArchive();
    const segment = walSegment(5, { walMagic: 0xd1ff });
    assert.equal(await store.putSegment(nameOf(5), segment), 'stored');
    sameBytes(await store.getSegment(nameOf(5)), segment);
    assert.match((await store.index.read(segmentAt(5)))?.problem ?? '', /does not know \(magic 0xD1FF\)/);
  });

  it('is a segment with damage in its middle', async () => {
    const { store } = await testArchive();
    const segment = walSegment(5, { commits: [1n] });
    segment.fill(0xff, 300_000, 320_000);
    assert.equal(await store.putSegment(nameOf(5), segment), 'stored');
    sameBytes(await store.getSegment(nameOf(5)), segment);
    const index = await store.index.read(segmentAt(5));
    assert.match(index?.problem ?? '', /at byte/);
    assert.equal(index?.commits.length, 1);
  });

  it('is the first segment of a timeline, which begins as a copy of its parent’s', async () => {
    const { store } = await testArchive();
    assert.equal(await store.putSegment(nameOf(5, 2), walSegment(5, { pageTimeline: 1 })), 'stored');
  });
});

describe('a segment whose index was not written', () => {
  it('gets it when the segment comes again', async () => {
    const archive = await testArchive();
    const segment = walSegment(5, { commits: [7n] });
    await archive.store.putSegment(nameOf(5), segment);
    const indexKey = [...archive.objects.keys()].find((key) => key.includes('/wal-index/')) ?? '';
    archive.objects.delete(indexKey);
    assert.equal(await archive.store.index.has(segmentAt(5)), false);
    assert.equal(await archive.store.putSegment(nameOf(5), segment), 'already-there');
    assert.deepEqual((await archive.store.index.read(segmentAt(5)))?.commits, indexSegment(segment).commits);
  });
});

describe('the beginning of a segment', () => {
  const whole = walSegment(5, { commits: [1n, 2n] });
  const upTo = (bytes: number): Buffer => {
    const beginning = Buffer.alloc(mebibyte);
    whole.copy(beginning, 0, 0, bytes);
    return beginning;
  };

  it('comes back filled with zeros, by either name', async () => {
    const archive = await testArchive();
    assert.equal(await archive.store.put(`${nameOf(5)}.partial`, upTo(81_920)), 'stored');
    sameBytes(await archive.store.get(nameOf(5)), upTo(81_920));
    sameBytes(await archive.store.get(`${nameOf(5)}.partial`), upTo(81_920));
    assert.equal(await archive.store.getSegment(nameOf(5)), undefined);
    assert.deepEqual(stored(archive), [`wal/1/00000001/00000000/${nameOf(5)}.partial`]);
  });

  it('is replaced by one that goes on from it, and not by a shorter one', async () => {
    const archive = await testArchive();
    const { store } = archive;
    assert.equal(await store.putPartial(nameOf(5), whole.subarray(0, 8192)), 'stored');
    assert.equal(await store.putPartial(nameOf(5), whole.subarray(0, 81_920)), 'stored');
    assert.equal(stored(archive).length, 1);
    assert.equal(await store.putPartial(nameOf(5), whole.subarray(0, 81_920)), 'already-there');
    assert.equal(await store.putPartial(nameOf(5), upTo(40_000)), 'already-there');
    sameBytes(await store.getPartial(nameOf(5)), upTo(81_920));
  });

  it('gives way to the whole segment', async () => {
    const archive = await testArchive();
    await archive.store.putPartial(nameOf(5), upTo(81_920));
    await archive.store.putSegment(nameOf(5), whole);
    assert.deepEqual(stored(archive), [
      `wal-index/1/00000001/00000000/${nameOf(5)}`,
      `wal/1/00000001/00000000/${nameOf(5)}`,
    ]);
    assert.equal(await archive.store.putPartial(nameOf(5), upTo(90_000)), 'already-there');
    sameBytes(await archive.store.get(nameOf(5)), whole);
  });

  it('is known for one although it comes under the name of the whole segment, and does not stand in its way', async () => {
    const archive = await testArchive();
    // As a standby with archive_mode = always hands it over.
    assert.equal(await archive.store.putSegment(nameOf(5), upTo(81_920)), 'stored');
    assert.equal(await archive.store.findSegment(nameOf(5)), undefined);
    sameBytes(await archive.store.get(nameOf(5)), upTo(81_920));
    assert.equal(await archive.store.putSegment(nameOf(5), whole), 'stored');
    assert.equal(await archive.store.putSegment(nameOf(5), upTo(81_920)), 'already-there');
    sameBytes(await archive.store.getSegment(nameOf(5)), whole);
    assert.deepEqual(
      stored(archive).filter((key) => key.endsWith('.partial')),
      [],
    );
  });

  it('is known for one wherever its records end, in the last page too', async () => {
    const long = walSegment(5, { usedBytes: mebibyte - 64 });
    const headerOnly = Buffer.from(long).fill(0, mebibyte - 8192 + 24);
    for (const beginning of [long, headerOnly, walSegment(5, { usedBytes: mebibyte - 4096 })]) {
      const { store } = await testArchive();
      await store.putSegment(nameOf(5), beginning);
      assert.equal(await store.findSegment(nameOf(5)), undefined);
      sameBytes(await store.get(nameOf(5)), beginning);
    }
  });

  it('is not what a switch leaves: zeros to the end, also where the segment before has the beginning of the record', async () => {
    const { store } = await testArchive();
    const builder = new WalBuilder({ startLsn: BigInt(5 * mebibyte), systemIdentifier: identifier });
    builder.fillTo(mebibyte - 8).switchSegment();
    builder.fillTo(8192).switchSegment();
    for (const [i, segment] of builder.segments.entries()) {
      await store.putSegment(nameOf(5 + i), segment);
      sameBytes(await store.getSegment(nameOf(5 + i)), segment);
    }
    assert.equal(builder.segments.length, 3);
  });

  it('is kept beside one that contradicts it, and the one with more WAL is given', async () => {
    const archive = await testArchive();
    const { store } = archive;
    const short = walSegment(5, { usedBytes: 16_384, seed: 1 });
    const long = walSegment(5, { usedBytes: 81_920, seed: 2 });
    // As a server archives it: behind its WAL stands what the recycled file held, longer than all else.
    walSegment(2).copy(short, 24_576, 24_576);
    for (const beginning of [short, long, short]) await store.putPartial(nameOf(5), beginning);
    assert.equal(stored(archive).length, 2);
    sameBytes(await store.get(nameOf(5)), long);
    await store.putSegment(nameOf(5), whole);
    assert.equal(stored(archive).filter((key) => key.endsWith('.partial')).length, 2, 'neither leads to the whole one');
    sameBytes(await store.get(nameOf(5)), whole);
  });

  it('is refused where it is of another cluster, of another place, or too long', async () => {
    const archive = await testArchive();
    const { store } = archive;
    const foreign = walSegment(5, { usedBytes: 8192, systemIdentifier: 42n });
    await assert.rejects(store.putPartial(nameOf(5), foreign), { code: 'wal-other-cluster' });
    await assert.rejects(store.putPartial(nameOf(6), upTo(8192)), { code: 'wal-damaged' });
    await assert.rejects(store.putPartial(nameOf(5), Buffer.concat([whole, Buffer.alloc(1, 1)])), {
      code: 'wal-damaged',
    });
    assert.deepEqual(walKeys(archive), []);
  });

  it('is nothing to store where nothing has come yet', async () => {
    const archive = await testArchive();
    assert.equal(await archive.store.putPartial(nameOf(5), Buffer.alloc(mebibyte)), 'already-there');
    assert.equal(await archive.store.getPartial(nameOf(5)), undefined);
    assert.deepEqual(walKeys(archive), []);
  });
});

describe('another incarnation of the cluster', () => {
  it('has segments of the same names of its own', async () => {
    const { store, repository } = await testArchive();
    const next = new WalStore(
      repository.cluster('main'),
      incarnationOf(mebibyte, { number: 2, systemIdentifier: '42', postgresMajor: 18 }),
    );
    const [old, fresh] = [walSegment(5), walSegment(5, { systemIdentifier: 42n, walMagic: 0xd118 })];
    await store.putSegment(nameOf(5), old);
    assert.equal(await next.getSegment(nameOf(5)), undefined);
    await next.putSegment(nameOf(5), fresh);
    sameBytes(await store.getSegment(nameOf(5)), old);
    sameBytes(await next.getSegment(nameOf(5)), fresh);
    assert.equal((await next.index.read(segmentAt(5)))?.postgresMajor, 18);
  });
});

describe('a repository that was tampered with', () => {
  it('is told by a swapped, cut or changed segment', async () => {
    const { store, objects } = await testArchive({ passphrase: secret });
    await store.putSegment(nameOf(5), walSegment(5));
    await store.putSegment(nameOf(6), walSegment(6));
    const keyOf = async (number: number): Promise<string> =>
      `clusters/main/${(await store.findSegment(nameOf(number)))?.key}`;
    const [five, six] = [await keyOf(5), await keyOf(6)];
    const good = objects.get(five) ?? Buffer.alloc(0);
    objects.set(five, objects.get(six) ?? Buffer.alloc(0));
    await assert.rejects(store.getSegment(nameOf(5)), { code: 'object-swapped', exitStatus: 3 });
    objects.set(five, good.subarray(0, good.length - 5));
    await assert.rejects(store.getSegment(nameOf(5)), { code: 'object-damaged', exitStatus: 3 });
    const flipped = Buffer.from(good);
    const middle = flipped.length >> 1;
    flipped[middle] = (flipped[middle] ?? 0) ^ 1;
    objects.set(five, flipped);
    await assert.rejects(store.getSegment(nameOf(5)), { exitStatus: 3 });
  });
});
