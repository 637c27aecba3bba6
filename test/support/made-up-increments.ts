import assert from 'node:assert/strict';
import { copyFiles, type CopiedFiles } from '../../src/backup/copy-files.ts';
import type { Copying } from '../../src/backup/copy-items.ts';
import { copyHere } from '../../src/backup/copying.ts';
import { walkDataDirectory } from '../../src/backup/data-directory-walk.ts';
import type { Evidence } from '../../src/backup/look-at-file.ts';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { pageBytes } from '../../src/postgres/page.ts';
import { parseRelationPath } from '../../src/postgres/relation-file.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import type { Extent } from '../../src/repository/file-map.ts';
import { ExtentReader } from '../../src/repository/extent-reader.ts';
import { forkNumbers } from '../../src/wal/wal-event.ts';
import { readBackup, readTree } from './made-up-backup.ts';
import { startLsn, versionDirectory, type MadeUpCluster } from './made-up-cluster.ts';

/* Copies of a made-up data directory that build on each other, with evidence as a test makes it up. */

/** Pages of a relation's file that WAL is made out to name; 'whole' for a file that was made anew. */
export type MadeUpChanges = ReadonlyMap<string, readonly number[] | 'whole'>;

/** As ChangedBlocks, from paths: all in segments of one file. */
export function changedBlocks(changes: MadeUpChanges): Extract<Evidence, { kind: 'wal' }>['changed'] {
  const byRelation = new Map<string, readonly number[] | 'whole'>();
  for (const [path, blocks] of changes) {
    const relation = parseRelationPath(path);
    assert.ok(relation?.segment === 0, path);
    byRelation.set(`${relation.databaseOid} ${relation.relfilenode} ${relation.fork === 'init' ? 3 : 0}`, blocks);
  }
  return {
    blockCount: 0,
    of: ({ dbOid, relNumber, fork }, first, end) => {
      assert.ok(fork === forkNumbers.main || fork === forkNumbers.init);
      const found = byRelation.get(`${dbOid} ${relNumber} ${fork}`);
      if (found === undefined) return undefined;
      if (found === 'whole') return { whole: true, blocks: new Uint32Array(0) };
      const blocks = Uint32Array.from(found.filter((block) => block >= first && block < end)).toSorted();
      return blocks.length === 0 ? undefined : { whole: false, blocks };
    },
  };
}

export interface MadeUpCopy {
  readonly id: string;
  readonly copied: CopiedFiles;
}

export class MadeUpIncrements {
  readonly made: MadeUpCluster;
  readonly cluster: ClusterRepository;
  readonly #pieceBytes: number;
  #copies = 0;
  dataChecksums = true;
  last: MadeUpCopy | undefined;

  constructor(made: MadeUpCluster, cluster: ClusterRepository, pieceBytes: number) {
    this.made = made;
    this.cluster = cluster;
    this.#pieceBytes = pieceBytes;
  }

  /**
   * Copies what is there now, building on the copy before unless the evidence is 'all'. `meanwhile` happens before each
   * batch is copied.
   */
  async copy(evidence: Evidence, meanwhile: () => void = () => undefined): Promise<MadeUpCopy> {
    this.#copies += 1;
    const id = `copy-${this.#copies}`;
    const reference = evidence.kind === 'all' ? undefined : this.last;
    await using stack = new AsyncDisposableStack();
    const before = reference && stack.use(await this.cluster.openManifest(reference.id));
    const inner = copyHere(this.cluster, startLsn);
    const copying: Copying = {
      ...inner,
      copy: async (items) => {
        meanwhile();
        return inner.copy(items);
      },
    };
    const manifest = await this.cluster.createManifest(id);
    const copied = await copyFiles({
      entries: walkDataDirectory({
        directory: this.made.dataDirectory,
        tablespaceVersionDirectory: versionDirectory,
        warn: () => undefined,
        settledBeforeMs: Infinity,
      }),
      copying,
      manifest,
      owners: { user: () => 'postgres', group: () => 'postgres' },
      dataChecksums: this.dataChecksums,
      relationSegmentBlocks: 131_072,
      pieceBytes: this.#pieceBytes,
      reference: before && {
        entries: before.entries(),
        evidence,
        badPages: new Map(reference?.copied.badPages.map(({ path, blocks }) => [path, blocks])),
      },
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    await copying.finish();
    await copying.close();
    await manifest.finish();
    this.last = { id, copied };
    return this.last;
  }

  /** Every file of the data directory that is copied. */
  present(): Map<string, Buffer> {
    const present = readTree(this.made.dataDirectory);
    for (const path of present.keys()) if (/^(pg_wal\/|global\/pg_control$)/.test(path)) present.delete(path);
    return present;
  }
}

/** The blobs that hold a file, and those that hold its sums; bytes that they hold together. */
export async function blobsOf(
  cluster: ClusterRepository,
  id: string,
  path: string,
): Promise<{ readonly content: number; readonly contentBytes: number; readonly sums: number }> {
  await using manifest = await cluster.openManifest(id);
  const blobs = (extents: readonly Extent[]): Map<string, number> =>
    new Map(extents.map(({ pack, blob }) => [`${pack} ${blob.offset}`, blob.plainBytes]));
  for await (const entry of manifest.entries()) {
    if (entry.path !== path) continue;
    const maps = await entry.loadMaps();
    const content = blobs(maps.extents);
    const contentBytes = [...content.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { content: content.size, contentBytes, sums: blobs(maps.sums).size };
  }
  assert.fail(`no ${path}`);
}

/** The CRCs and sums of every file are those of its content. */
export async function checkSums(cluster: ClusterRepository, id: string): Promise<void> {
  const content = await readBackup(cluster, id);
  const reader = new ExtentReader(cluster);
  await using manifest = await cluster.openManifest(id);
  try {
    for await (const entry of manifest.entries()) {
      if (entry.kind !== 'file') continue;
      const bytes = content.get(entry.path);
      assert.ok(Buffer.isBuffer(bytes));
      assert.equal(entry.crc32c, crc32c(bytes), `the CRC of ${entry.path}`);
      const blocks = Math.ceil(bytes.length / pageBytes);
      const sums = Buffer.alloc(blocks * 8);
      const { sums: mapOfSums } = await entry.loadMaps();
      await reader.read(mapOfSums, (part, extent) => sums.set(part, extent.fileOffset));
      for (let block = 0; block < blocks; block += 1) {
        const page: Buffer = bytes.subarray(block * pageBytes, (block + 1) * pageBytes);
        assert.equal(sums.readUInt32LE(block * 8), crc32c(page), `the sum of block ${block} of ${entry.path}`);
      }
    }
  } finally {
    await reader.close();
  }
}
