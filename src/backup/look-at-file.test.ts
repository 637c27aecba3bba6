import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lsn } from '../postgres/lsn.ts';
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
const pageLsn: Evidence = { kind: 'page-lsn', sinceLsn: lsn(0x2000) };

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

describe('by page LSNs', () => {
  it('a relation is untouched where its file is, and read for newer pages where it is the same one', () => {
    assert.deepEqual(look({ evidence: pageLsn }), { kind: 'untouched' });
    const newer: Look = { kind: 'newer', sinceLsn: lsn(0x2000) };
    assert.deepEqual(look({ evidence: pageLsn, now: { identity: { ...identity, changedMicros: 2100 } } }), newer);
    assert.deepEqual(look({ evidence: pageLsn, now: { sizeBytes: pageBytes } }), newer);
  });

  it('a file that was made anew may have pages of any LSN', () => {
    assert.deepEqual(look({ evidence: pageLsn, now: { identity: { ...identity, inode: 9 } } }), { kind: 'everything' });
    assert.deepEqual(look({ evidence: pageLsn, now: { identity: { ...identity, bornMicros: 9 } } }), {
      kind: 'everything',
    });
  });

  it('a file that was changed before it was in the reference is of another past: the disk was put back', () => {
    const earlier = { identity: { ...identity, changedMicros: 1900 } };
    assert.deepEqual(look({ evidence: pageLsn, now: earlier }), { kind: 'everything' });
  });

  it('maps have no LSN to go by, and damaged files are looked at again', () => {
    const changed = { identity: { ...identity, changedMicros: 2100 } };
    assert.deepEqual(look({ path: `${heap}_vm`, evidence: pageLsn, now: changed }), { kind: 'everything' });
    assert.deepEqual(look({ evidence: pageLsn, before: { flags: entryFlags.badPageChecksums } }), {
      kind: 'newer',
      sinceLsn: lsn(0x2000),
    });
  });
});

describe('by contents', () => {
  it('everything is read', () => {
    for (const kind of ['sums', 'all'] as const) assert.deepEqual(look({ evidence: { kind } }), { kind: 'everything' });
  });
});
