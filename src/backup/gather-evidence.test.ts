import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MadeUpCluster } from '../../test/support/made-up-cluster.ts';
import { blocksIn, firstLsn, firstNumber } from '../../test/support/changed-wal.ts';
import { touch } from '../../test/support/indexed-wal.ts';
import { mebibyte, nameOf, testArchive, type TestArchive } from '../../test/support/test-archive.ts';
import { backupRecord } from '../../test/support/test-repository.ts';
import { i64, u32, WalBuilder } from '../../test/support/wal-builder.ts';
import { formatLsn, lsn, type Lsn } from '../postgres/lsn.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { gatherEvidence, type EvidenceSources, type GatheredEvidence } from './gather-evidence.ts';

/** Two backups with three segments of WAL between them: the first starts in the first segment, the second in the last. */
interface Written {
  readonly made: MadeUpCluster;
  readonly archive: TestArchive;
  readonly builder: WalBuilder;
  readonly record: BackupRecord;
  readonly startLsn: Lsn;
  readonly checkpointLsn: Lsn;
  readonly writtenLsn: Lsn;
}

function checkpoint(builder: WalBuilder, redo: Lsn): Lsn {
  const main = Buffer.concat([i64(redo), u32(1, 1, 1, 0), Buffer.alloc(72)]);
  return builder.record({ resourceManager: 0, info: 0x10, main });
}

async function written(): Promise<Written> {
  const builder = new WalBuilder();
  const from = builder.lsn;
  const first = checkpoint(builder, from);
  for (const block of [10, 11, 12]) {
    touch(builder, block);
    builder.fillTo(mebibyte - 32).filler(32);
  }
  // The server writes on before the second backup's checkpoint begins.
  touch(builder, 13);
  const startLsn = builder.lsn;
  touch(builder, 14);
  const checkpointLsn = checkpoint(builder, startLsn);
  builder.filler(64);
  const record = backupRecord('first', { startLsn: formatLsn(from), checkpointLsn: formatLsn(first) });
  return {
    made: new MadeUpCluster(),
    archive: await testArchive(),
    builder,
    record,
    startLsn,
    checkpointLsn,
    writtenLsn: builder.lsn,
  };
}

const manifest = undefined as unknown as ManifestReader;

async function gather(site: Written, changes: Partial<EvidenceSources> = {}): Promise<GatheredEvidence> {
  return gatherEvidence({
    store: site.archive.store,
    dataDirectory: site.made.dataDirectory,
    reference: { record: site.record, manifest },
    unfit: undefined,
    history: { timeline: timeline(1), parents: [] },
    startLsn: site.startLsn,
    checkpointLsn: site.checkpointLsn,
    writtenLsn: async () => site.writtenLsn,
    walTimeoutMs: 0,
    now: () => new Date(),
    signal: new AbortController().signal,
    say: () => undefined,
    ...changes,
  });
}

const segment = (site: Written, i: number): Buffer => site.builder.segments[i] ?? assert.fail();

async function archive(site: Written, ...which: readonly number[]): Promise<void> {
  for (const i of which) await site.archive.store.putSegment(nameOf(firstNumber + i), segment(site, i));
}

/** As the server has it: the last one with what an earlier use of the file has left behind its end. */
function keepLocally(site: Written, ...which: readonly number[]): void {
  for (const i of which) {
    const bytes = Buffer.from(segment(site, i));
    if (i === 3) bytes.fill(0xaa, Number(site.writtenLsn - firstLsn) - 3 * mebibyte);
    writeFileSync(join(site.made.dataDirectory, 'pg_wal', nameOf(firstNumber + i)), bytes);
  }
}

function told({ evidence }: GatheredEvidence): number[] | 'whole' {
  assert.equal(evidence.kind, 'wal');
  return blocksIn(evidence.kind === 'wal' ? evidence : { unfit: 'no WAL' });
}

describe('what a backup knows of changes since its reference', () => {
  it('is what WAL says up to where it starts, with what nobody has archived yet', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0);
    keepLocally(site, 1, 2, 3);
    const gathered = await gather(site);
    assert.equal(gathered.fallback, undefined);
    // Those after the start are in the last segment as well; one too many does no harm.
    assert.deepEqual(told(gathered), [10, 11, 12, 13, 14]);
    const { store } = site.archive;
    for (const i of [1, 2]) assert.ok(await store.findSegment(nameOf(firstNumber + i)), 'it is archived on the way');
    const partial = await store.getPartial(nameOf(firstNumber + 3));
    assert.deepEqual(partial, segment(site, 3), 'without what lies behind its end');
  });

  it('is what changed files have where a segment is nowhere, and why', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0, 2);
    keepLocally(site, 3);
    const { evidence, fallback } = await gather(site);
    assert.deepEqual(evidence, { kind: 'files' });
    assert.match(fallback ?? '', new RegExp(`^WAL segment ${nameOf(firstNumber + 1)} is not in the archive`));
  });

  it('is what WAL says where a segment is archived only in part, and later ones whole: they come in any order', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0, 2);
    const begun = Buffer.alloc(mebibyte);
    segment(site, 1).copy(begun, 0, 0, 65_536);
    await site.archive.store.putPartial(nameOf(firstNumber + 1), begun);
    keepLocally(site, 1, 3);
    const gathered = await gather(site);
    assert.equal(gathered.fallback, undefined);
    assert.deepEqual(told(gathered), [10, 11, 12, 13, 14]);
  });

  it('waits for a segment that the server has forgotten and a receiver has not stored yet', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0, 2);
    keepLocally(site, 3);
    const said: string[] = [];
    const gathered = await gather(site, {
      walTimeoutMs: 20_000,
      say: (text) => {
        said.push(text);
        void archive(site, 1);
      },
    });
    assert.deepEqual(told(gathered), [10, 11, 12, 13, 14]);
    assert.match(said.join(), /^waiting for 0000000100000005000000\w+ to be archived$/);
  });

  it('is nothing where the reference is no ancestor: contents are compared', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0, 1, 2, 3);
    assert.deepEqual(await gather(site, { unfit: 'another timeline' }), {
      evidence: { kind: 'sums' },
      fallback: 'another timeline',
    });
  });

  it('is nothing where the archive has the WAL of another server, either', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0, 1, 2, 3);
    const record = { ...site.record, checkpointLsn: formatLsn(lsn(firstLsn + 4096n)) };
    const { evidence, fallback } = await gather(site, { reference: { record, manifest } });
    assert.deepEqual(evidence, { kind: 'sums' });
    assert.match(fallback ?? '', /no checkpoint at .* another server wrote it/);
  });

  it('is what changed files have after a backup of a cluster with wal_level minimal', async () => {
    const site = await written();
    using _made = site.made;
    await archive(site, 0, 1, 2, 3);
    const record: BackupRecord = { ...site.record, walLevel: 'minimal' };
    const { evidence, fallback } = await gather(site, { reference: { record, manifest } });
    assert.equal(evidence.kind, 'files');
    assert.match(fallback ?? '', /wal_level was minimal when first was taken/);
  });
});
