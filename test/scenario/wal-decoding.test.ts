import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { formatLsn } from '../../src/postgres/lsn.ts';
import { mergeBlockChanges } from '../../src/wal/block-changes.ts';
import type { BlockReference, WalRecord } from '../../src/wal/read-records.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from '../../src/wal/segment-index-codec.ts';
import { SegmentLinks } from '../../src/wal/segment-links.ts';
import type { BlockChanges, Commit, JoinedRecord, RestorePoint, SegmentIndex } from '../../src/wal/segment-index.ts';
import type { WalEvent } from '../../src/wal/wal-event.ts';
import { cutsOf, endOfTransaction, type DumpedBlock, type DumpedRecord } from '../support/waldump.ts';
import { writeWal, type WrittenWal } from '../support/written-wal.ts';

/*
 * Our decoder beside PostgreSQL's own pg_waldump, on the same WAL: of 15 with the one of Debian, of 18 with the one of
 * the complete PostgreSQL 18 that npm brings.
 */

/** The items of every segment and of what lies between them, in the order of WAL. */
function inOrder<T>(written: WrittenWal, of: (part: SegmentIndex | JoinedRecord) => readonly T[]): T[] {
  return written.indexes.flatMap((index, i) => {
    const between = written.joined[i];
    return [...of(index), ...(between ? of(between) : [])];
  });
}

/** Where the records start that go on in another segment, but for one that a crash left without an end. */
function unfinished(written: WrittenWal): string[] {
  const givenUp = new Set(
    written.indexes.flatMap(({ events }) =>
      events.flatMap((event) => (event.kind === 'overwrite-contrecord' ? [event.overwrittenLsn] : [])),
    ),
  );
  return written.indexes.flatMap(({ tail }) => (tail && !givenUp.has(tail.lsn) ? [formatLsn(tail.lsn)] : []));
}

const blockText = (block: DumpedBlock | (BlockReference & BlockReference['relation'])): string =>
  `#${block.id} ${block.spcOid}/${block.dbOid}/${block.relNumber}.${block.fork}:${block.block} ${block.image}`;

function dumpedText(record: DumpedRecord): string {
  const { lsn, previousLsn, xid, resourceManager, lengthBytes, blocks } = record;
  return [formatLsn(lsn), formatLsn(previousLsn), xid, resourceManager, lengthBytes, ...blocks.map(blockText)].join(
    ' ',
  );
}

function ourText(record: WalRecord): string {
  const { lsn, previousLsn, xid, resourceManager, lengthBytes } = record;
  const blocks = record.blocks.map((block) => blockText({ ...block, ...block.relation }));
  return [formatLsn(lsn), formatLsn(previousLsn), xid, resourceManager, lengthBytes, ...blocks].join(' ');
}

/** Tells the first difference of long lists, not all of both. */
function assertSameLists<T>(found: readonly T[], expected: readonly T[], what: string): void {
  const at = found.findIndex((item, i) => item !== expected[i]);
  assert.ok(at < 0, `${what} ${at}: found ${String(found[at])}, expected ${String(expected[at])}`);
  assert.equal(found.length, expected.length, `${what}: expected ${String(expected[found.length])} next`);
}

/** Changed blocks in the plainest way, from what pg_waldump says. */
function dumpedChanges(dumped: readonly DumpedRecord[]): string[] {
  const forks = new Map<string, { blocks: Set<number>; truncatedTo: number | undefined }>();
  const forkOf = (of: { spcOid: number; dbOid: number; relNumber: number; fork: number }) => {
    const key = `${of.spcOid}/${of.dbOid}/${of.relNumber}.${of.fork}`;
    const found = forks.get(key) ?? { blocks: new Set<number>(), truncatedTo: undefined };
    forks.set(key, found);
    return found;
  };
  for (const record of dumped) {
    for (const cut of cutsOf(record)) {
      const fork = forkOf(cut);
      for (const block of fork.blocks) if (block >= cut.blocks) fork.blocks.delete(block);
      fork.truncatedTo = Math.min(cut.blocks, fork.truncatedTo ?? Infinity);
      if (cut.changesLast) fork.blocks.add(cut.blocks - 1);
    }
    for (const block of record.blocks) forkOf(block).blocks.add(block.block);
  }
  return [...forks].map(([key, { blocks, truncatedTo }]) => changeText(key, blocks, truncatedTo)).toSorted();
}

function ourChanges(changes: readonly BlockChanges[]): string[] {
  return changes
    .map(({ relation, blocks, truncatedTo }) => {
      const { spcOid, dbOid, relNumber, fork } = relation;
      return changeText(`${spcOid}/${dbOid}/${relNumber}.${fork}`, blocks, truncatedTo);
    })
    .toSorted();
}

function changeText(fork: string, blocks: Iterable<number>, truncatedTo: number | undefined): string {
  const list = Uint32Array.from(blocks).toSorted().join(',');
  return `${fork} ${list} cut ${truncatedTo ?? 'never'}`;
}

const commitText = (of: Pick<Commit, 'lsn' | 'xid' | 'kind' | 'time'>): string =>
  `${formatLsn(of.lsn)} ${of.kind} ${of.xid} ${of.time}`;

const eventKinds = new Map<string, WalEvent['kind']>([
  ['XLOG CHECKPOINT_SHUTDOWN', 'checkpoint'],
  ['XLOG CHECKPOINT_ONLINE', 'checkpoint'],
  ['XLOG CHECKPOINT_REDO', 'checkpoint-redo'],
  ['XLOG END_OF_RECOVERY', 'end-of-recovery'],
  ['XLOG PARAMETER_CHANGE', 'parameter-change'],
  ['XLOG FPW_CHANGE', 'full-page-writes'],
  ['XLOG BACKUP_END', 'backup-end'],
  ['XLOG SWITCH', 'switch'],
  ['XLOG OVERWRITE_CONTRECORD', 'overwrite-contrecord'],
  ['Transaction PREPARE', 'prepare'],
  ['Storage CREATE', 'relation-create'],
  ['Storage TRUNCATE', 'relation-truncate'],
  ['Database CREATE_FILE_COPY', 'database-create'],
  ['Database CREATE_WAL_LOG', 'database-create'],
  ['Database DROP', 'database-drop'],
  ['Tablespace CREATE', 'tablespace-create'],
  ['Tablespace DROP', 'tablespace-drop'],
]);

/** Position and kind of each event, with what pg_waldump shows of it. */
function dumpedEvents(dumped: readonly DumpedRecord[]): string[] {
  return dumped.flatMap((record) => {
    const { resourceManager, description, lsn } = record;
    const relations = endOfTransaction(record)?.relations.length ?? 0;
    if (relations > 0) return [`${formatLsn(lsn)} relation-drop ${relations}`];
    const kind = eventKinds.get(`${resourceManager} ${/^\w*/.exec(description)?.[0]}`);
    if (kind === undefined) return [];
    const redo = /^CHECKPOINT_\w+ redo (\S+); tli (\d+); prev tli (\d+)/.exec(description)?.slice(1);
    const space = /^(?:CREATE|DROP) (\d+)(?: "(.*)")?$/.exec(description)?.slice(1);
    const more = kind === 'checkpoint' ? redo : resourceManager === 'Tablespace' ? space : [];
    return [[formatLsn(lsn), kind, ...(more ?? [])].join(' ').trimEnd()];
  });
}

function eventText(event: WalEvent): string {
  const more = ((): (string | number)[] => {
    switch (event.kind) {
      case 'checkpoint':
        return [formatLsn(event.redoLsn), event.timeline, event.previousTimeline];
      case 'relation-drop':
        return [event.relations.length];
      case 'tablespace-create':
        return [event.spcOid, event.path];
      case 'tablespace-drop':
        return [event.spcOid];
      default:
        return [];
    }
  })();
  return [formatLsn(event.lsn), event.kind, ...more].join(' ');
}

for (const [major, walSegmentMiB] of [
  [15, 1],
  [18, 1],
  [18, 16],
] as const) {
  describe(`WAL of PostgreSQL ${major} in segments of ${walSegmentMiB} MiB`, () => {
    let written: WrittenWal;
    before(async () => {
      written = await writeWal(major, walSegmentMiB);
    });

    it('is read as pg_waldump reads it, record by record', () => {
      const { records, indexes, checkpointLsn } = written;
      const dumped = written.dumped.records;
      assert.ok(dumped.length > 20_000, `${dumped.length} records`);
      const managers = new Set(dumped.map(({ resourceManager }) => resourceManager));
      assert.ok(managers.size >= 20, [...managers].join(' '));
      const images = new Set(dumped.flatMap(({ blocks }) => blocks.map(({ image }) => image)));
      assert.equal(images.size, 3);
      // records that go on in another segment are in no list: each is what its segment ends with
      const whole = new Set(records.map(({ lsn }) => lsn));
      assertSameLists(records.map(ourText), dumped.filter(({ lsn }) => whole.has(lsn)).map(dumpedText), 'record');
      const crossing = dumped.filter(({ lsn }) => !whole.has(lsn)).map(({ lsn }) => formatLsn(lsn));
      assert.deepEqual(crossing, unfinished(written));
      assert.equal(records.at(-1)?.lsn, checkpointLsn);
      assert.equal(indexes.at(-1)?.usedEndLsn, written.dumped.endLsn);
    });

    it('ends each record where the next one begins, page headers aside', () => {
      const { records } = written;
      const dumped = written.dumped.records;
      const nextOf = new Map(dumped.map(({ lsn }, i) => [lsn, dumped[i + 1]?.lsn]));
      for (const { lsn, endLsn, resourceManager, info } of records) {
        const next = nextOf.get(lsn);
        if (next === undefined || (resourceManager === 'XLOG' && (info & 0xf0) === 0x40)) continue;
        const between = Number(next - endLsn);
        const atPage = endLsn % 8192n === 0n;
        // a crash ends WAL with a record that is followed by one on a new page, if it was cut
        assert.ok(between === 0 || (atPage && [24, 40].includes(between)), `${formatLsn(lsn)}: ${between} bytes`);
      }
    });

    it('has nothing that an index could not tell', () => {
      const { indexes, joined, segments } = written;
      for (const [i, index] of indexes.entries()) {
        assert.equal(index.problem, undefined, segments[i]?.name);
        assert.equal(index.postgresMajor, major);
        assert.equal(index.ending === 'end-of-wal', i === indexes.length - 1, segments[i]?.name);
        assert.deepEqual(decodeSegmentIndex(encodeSegmentIndex(index)), index);
      }
      for (const [i, { problem }] of joined.entries()) assert.equal(problem, undefined, segments[i]?.name);
      const links = new SegmentLinks();
      for (const [i, index] of indexes.entries()) assert.ok(links.follows(index), segments[i]?.name);
      assert.ok(indexes.some(({ ending }) => ending === 'switch'));
      assert.ok(indexes.some(({ ending }) => ending === 'full'));
    });

    it('tells every transaction that ended, how and when', () => {
      const expected = written.dumped.records.flatMap((record) => {
        const end = endOfTransaction(record);
        return end ? [commitText({ ...end, lsn: record.lsn })] : [];
      });
      const found = inOrder<Commit>(written, ({ commits }) => commits);
      assertSameLists(found.map(commitText), expected, 'commit');
      for (const kind of ['commit', 'abort', 'commit-prepared', 'abort-prepared']) {
        assert.ok(
          found.some((commit) => commit.kind === kind),
          kind,
        );
      }
    });

    it('tells the restore points, which end where the server said', () => {
      const { points } = written;
      const found = inOrder<RestorePoint>(written, ({ restorePoints }) => restorePoints);
      assert.deepEqual(
        found.map(({ name, endLsn }) => ({ name, endLsn: formatLsn(endLsn) })),
        points,
      );
      const expected = written.dumped.records
        .filter(
          ({ resourceManager, description }) => resourceManager === 'XLOG' && description.startsWith('RESTORE_POINT '),
        )
        .map(({ lsn, description }) => [lsn, description.slice('RESTORE_POINT '.length)]);
      assert.deepEqual(
        found.map(({ lsn, name }) => [lsn, name]),
        expected,
      );
    });

    it('tells which blocks were changed, and where relations were cut', () => {
      const parts = written.indexes.flatMap((index, i) => [index.changes, written.joined[i]?.changes ?? []]);
      assertSameLists(ourChanges(mergeBlockChanges(parts)), dumpedChanges(written.dumped.records), 'fork');
    });

    it('tells what the server did besides: checkpoints, relations, databases, tablespaces made and dropped', () => {
      const found = inOrder<WalEvent>(written, ({ events }) => events);
      assertSameLists(found.map(eventText), dumpedEvents(written.dumped.records), 'event');
      const kinds = new Set(found.map(({ kind }) => kind));
      for (const kind of [
        'checkpoint',
        'overwrite-contrecord',
        'prepare',
        'relation-create',
        'relation-truncate',
        'relation-drop',
        'database-create',
        'database-drop',
        'tablespace-create',
        'tablespace-drop',
        'switch',
      ] as const) {
        assert.ok(kinds.has(kind), kind);
      }
    });
  });
}
