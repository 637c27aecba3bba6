import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pageBytes } from '../postgres/page.ts';
import { entryFlags, type StoredEntry } from '../repository/manifest.ts';
import { changedBlocks, type MadeUpChanges } from '../../test/support/made-up-increments.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import { lookAtFile, type Evidence, type Look } from './look-at-file.ts';

const identity = { inode: 7, bornMicros: 1000, changedMicros: 2000 };
const heap = 'base/5/16384';

interface Case {
  readonly path?: string;
  readonly evidence: Evidence;
  readonly now?: Partial<WalkedEntry>;
  readonly before?: Partial<StoredEntry>;
  readonly badPages?: readonly number[];
}

/** A file of ten pages, the same as it was in the reference unless the case says otherwise. */
function look({ path = heap, evidence, now, before, badPages = [] }: Case): Look {
  const size = { sizeBytes: 10 * pageBytes, identity };
  const entry: WalkedEntry = {
    ...{ kind: 'file', path, absolutePath: `/data/${path}`, modifiedMs: 0, mode: 0, uid: 0, gid: 0 },
    ...size,
    ...now,
  };
  const maps = { extents: [], sums: [] };
  const stored: StoredEntry = {
    ...{ path, kind: 'file', mode: 0, owner: '', group: '', modifiedMs: 0, crc32c: 0, flags: 0 },
    ...{ maps, extentCount: 0, loadMaps: async () => maps },
    ...size,
    ...before,
  };
  return lookAtFile(entry, stored, { evidence, relationSegmentBlocks: 131_072, badPages: new Map([[path, badPages]]) });
}

const wal = (changes: readonly (readonly [string, readonly number[] | 'whole'])[] = []): Evidence => ({
  kind: 'wal',
  changed: changedBlocks(new Map(changes) satisfies MadeUpChanges),
});

const blocks = (...numbers: readonly number[]): Look => ({ kind: 'blocks', blocks: Uint32Array.from(numbers) });

describe('by WAL', () => {
  it('a relation is read where WAL says so, whatever its file looks like', () => {
    assert.deepEqual(look({ evidence: wal(), now: { identity: { ...identity, inode: 9 } } }), { kind: 'untouched' });
    assert.deepEqual(look({ evidence: wal([[heap, [7, 2]]]) }), blocks(2, 7));
    assert.deepEqual(look({ evidence: wal([[heap, 'whole']]) }), { kind: 'everything' });
    assert.deepEqual(look({ path: `${heap}_init`, evidence: wal([[`${heap}_init`, [0]]]) }), blocks(0));
  });

  it('what has grown is read from where it ended, the page that was cut included', () => {
    const grown = { sizeBytes: 12 * pageBytes };
    assert.deepEqual(look({ evidence: wal([[heap, [2]]]), now: grown }), blocks(2, 10, 11));
    assert.deepEqual(look({ evidence: wal(), now: grown, before: { sizeBytes: 10 * pageBytes + 5 } }), blocks(10, 11));
    assert.deepEqual(look({ evidence: wal(), now: { sizeBytes: 3 * pageBytes + 5 } }), blocks(3));
    assert.deepEqual(look({ evidence: wal(), now: { sizeBytes: 3 * pageBytes } }), blocks());
  });

  it('blocks beyond its end do not count', () => {
    assert.deepEqual(look({ evidence: wal([[heap, [2, 10, 400]]]) }), blocks(2));
  });

  it('pages that were damaged are looked at again', () => {
    assert.deepEqual(look({ evidence: wal(), badPages: [4] }), blocks(4));
  });

  it('maps, and what is no relation, are untouched only if nothing has changed the file', () => {
    for (const path of [`${heap}_fsm`, `${heap}_vm`, 'pg_xact/0000', 'postgresql.conf']) {
      const evidence = wal();
      assert.deepEqual(look({ path, evidence }), { kind: 'untouched' });
      for (const changed of [
        { identity: { ...identity, inode: 9 } },
        { identity: { ...identity, bornMicros: 9 } },
        { identity: { ...identity, changedMicros: 9 } },
        { sizeBytes: pageBytes },
      ]) {
        assert.deepEqual(look({ path, evidence, now: changed }), { kind: 'everything' });
      }
    }
  });

  it('a time of change that was too recent tells nothing', () => {
    const recent = { identity: { ...identity, changedMicros: 0 } };
    const path = 'postgresql.conf';
    assert.deepEqual(look({ path, evidence: wal(), now: recent, before: recent }), { kind: 'everything' });
    assert.deepEqual(look({ path, evidence: wal(), now: recent }), { kind: 'everything' });
  });
});

describe('by files', () => {
  const evidence: Evidence = { kind: 'files' };

  it('a relation is untouched where its file is, else everything in it is compared', () => {
    assert.deepEqual(look({ evidence }), { kind: 'untouched' });
    for (const changed of [
      { identity: { ...identity, inode: 9 } },
      { identity: { ...identity, bornMicros: 9 } },
      { identity: { ...identity, changedMicros: 2100 } },
      // the disk was put back
      { identity: { ...identity, changedMicros: 1900 } },
      { identity: { ...identity, changedMicros: 0 } },
      { sizeBytes: pageBytes },
    ]) {
      for (const path of [heap, `${heap}_vm`, `${heap}_init`, 'postgresql.conf']) {
        assert.deepEqual(look({ path, evidence, now: changed }), { kind: 'everything' });
      }
    }
  });

  it('damaged files are looked at again', () => {
    assert.deepEqual(look({ evidence, before: { flags: entryFlags.badPageChecksums } }), { kind: 'everything' });
  });
});

describe('by contents', () => {
  it('everything is read', () => {
    for (const kind of ['sums', 'all'] as const) assert.deepEqual(look({ evidence: { kind } }), { kind: 'everything' });
  });
});
