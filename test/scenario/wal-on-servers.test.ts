import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { formatLsn, parseLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { mergeBlockChanges } from '../../src/wal/block-changes.ts';
import { indexSegment } from '../../src/wal/index-segment.ts';
import { joinRecord } from '../../src/wal/join-record.ts';
import { readRecords, type WalRecord } from '../../src/wal/read-records.ts';
import type { BlockChanges, Commit, SegmentIndex } from '../../src/wal/segment-index.ts';
import { TestCluster } from '../support/cluster.ts';
import { giveToServer } from '../support/server-user.ts';
import { loadSettings, writeAllKindsOfWal, type RestorePointMade } from '../support/wal-load.ts';
import { parseBlockReferences } from '../support/waldump.ts';
import { forkKey, readSummaries, waitForSummaries } from '../support/wal-summaries.ts';
import { readSegments } from '../support/written-wal.ts';

/*
 * Our decoder beside what running servers say of their own WAL: the times of commits, the extension pg_walinspect (which npm
 * brings for 16 and newer), the server's summaries of changed blocks (17 and newer). Other tests have pg_waldump.
 */

interface Served {
  readonly session: SqlSession;
  readonly segments: readonly Buffer[];
  readonly indexes: readonly SegmentIndex[];
  readonly points: readonly RestorePointMade[];
  /** Of the checkpoint at the end, before which everything has happened. */
  readonly redoLsn: Lsn;
}

const mib = 1_048_576;

async function serve(cluster: TestCluster, walSegmentMiB: number): Promise<Served> {
  const tablespace = join(cluster.socketDirectory, 'space');
  mkdirSync(tablespace);
  giveToServer(tablespace);
  const points = await writeAllKindsOfWal({ cluster, compression: ['on'], tablespace });
  const session = await cluster.session();
  await session.query('CHECKPOINT');
  const [last] = await session.query<{ redo: string; checkpoint: string }>(
    'SELECT redo_lsn AS redo, checkpoint_lsn AS checkpoint FROM pg_control_checkpoint()',
  );
  assert.ok(last);
  const directory = join(cluster.dataDirectory, 'pg_wal');
  const segments = readSegments(directory, walSegmentMiB * mib, parseLsn(last.checkpoint)).map(({ bytes }) => bytes);
  const indexes = segments.map((segment) => indexSegment(segment, { verifyCrc: true }));
  return { session, segments, indexes, points, redoLsn: parseLsn(last.redo) };
}

const joinedOf = (indexes: readonly SegmentIndex[]) =>
  indexes.slice(1).map((index, i) => joinRecord(indexes[i] ?? index, index));

/** Each record's parts in one line, as ours and pg_walinspect's can be written alike. */
function ourLine(record: WalRecord): string {
  const { lsn, endLsn, previousLsn, xid, resourceManager, lengthBytes, mainBytes, blocks } = record;
  const references = blocks.map(
    ({ id, relation, block, image }) =>
      `#${id} ${relation.spcOid}/${relation.dbOid}/${relation.relNumber}.${relation.fork}:${block} ${image}`,
  );
  const isSwitch = resourceManager === 'XLOG' && (record.info & 0xf0) === 0x40;
  const end = isSwitch ? 'switch' : formatLsn(endLsn);
  return [
    formatLsn(lsn),
    end,
    formatLsn(previousLsn),
    xid,
    resourceManager,
    lengthBytes,
    mainBytes,
    ...references,
  ].join(' ');
}

interface InspectedRow {
  readonly start: string;
  readonly end: string;
  readonly previous: string;
  readonly xid: string;
  readonly manager: string;
  readonly type: string;
  readonly length: number;
  readonly main: number;
  readonly references: string | null;
}

function inspectedLine(row: InspectedRow): string {
  const references = parseBlockReferences(row.references ?? '').map(
    ({ id, spcOid, dbOid, relNumber, fork, block, image }) =>
      `#${id} ${spcOid}/${dbOid}/${relNumber}.${fork}:${block} ${image}`,
  );
  const end = row.type === 'SWITCH' ? 'switch' : row.end;
  return [row.start, end, row.previous, row.xid, row.manager, row.length, row.main, ...references].join(' ');
}

/** Without the blocks beyond a cut: the server forgets them at its first cut alone, and who copies takes all there anyway. */
function forkLine(key: string, blocks: Iterable<number>, cut: number | undefined): string {
  const list = Uint32Array.from(blocks).filter((block) => block < (cut ?? Infinity));
  return `${key} ${list.toSorted().join(',')} cut ${cut ?? 'never'}`;
}

/** Those forks of which the server's summaries tell by block: not the free space map; nor a visibility map that was cut. */
function comparable(changes: readonly BlockChanges[], indexes: readonly SegmentIndex[]): (key: string) => boolean {
  const cut = new Set(
    indexes.flatMap(({ events }) =>
      events.flatMap((event) =>
        event.kind === 'relation-truncate'
          ? [forkKey(event.relation.spcOid, event.relation.dbOid, event.relation.relNumber, 2)]
          : [],
      ),
    ),
  );
  assert.ok(changes.length > cut.size);
  return (key) => !key.endsWith('.1') && !cut.has(key);
}

for (const [major, walSegmentMiB] of [
  [14, 1],
  [16, 1],
  [17, 16],
  [18, 16],
] as const) {
  describe(`WAL of a running PostgreSQL ${major}`, () => {
    let cluster: TestCluster;
    let served: Served;
    before(async () => {
      const settings = { ...loadSettings, ...(major >= 17 && { summarize_wal: 'on' }) };
      cluster = await TestCluster.create({ major, walSegmentMiB, settings });
      served = await serve(cluster, walSegmentMiB);
    });
    after(async () => {
      await served.session.close();
      await cluster[Symbol.asyncDispose]();
    });

    it('is read to its end', () => {
      const { indexes, redoLsn } = served;
      assert.deepEqual(
        indexes.flatMap(({ problem }) => problem ?? []),
        [],
      );
      assert.deepEqual(
        joinedOf(indexes).flatMap(({ problem }) => problem ?? []),
        [],
      );
      assert.ok(indexes.every(({ postgresMajor }) => postgresMajor === major));
      assert.ok((indexes.at(-1)?.usedEndLsn ?? 0n) > redoLsn);
      assert.ok(indexes.slice(0, -1).every(({ ending }) => ending !== 'end-of-wal'));
    });

    it('tells each commit at the time that the server knows, and restore points where it made them', async () => {
      const { session, indexes, points } = served;
      const joined = joinedOf(indexes);
      const commits = new Map<number, Commit>();
      for (const commit of [...indexes, ...joined].flatMap((part) => part.commits)) {
        if (commit.kind.startsWith('commit')) commits.set(commit.xid, commit);
      }
      // none for those of initdb; of a transaction with an origin the server keeps the time there
      const rows = await session.query<{ xid: string; micros: string }>(
        `SELECT xid, (extract(epoch FROM o.timestamp - '2000-01-01 00:00:00+00') * 1000000)::bigint::text AS micros
         FROM unnest($1::text[]) AS xid, pg_xact_commit_timestamp_origin(xid::xid) AS o
         WHERE o.timestamp IS NOT NULL AND o.roident = 0`,
        [[...commits.keys()].filter((xid) => xid > 0).map(String)],
      );
      assert.ok(rows.length > 150, `${rows.length} commits`);
      for (const { xid, micros } of rows) assert.equal(commits.get(Number(xid))?.time, BigInt(micros), `xid ${xid}`);
      const found = [...indexes, ...joined].flatMap(({ restorePoints }) => restorePoints);
      assert.deepEqual(
        found.map(({ name, endLsn }) => ({ name, endLsn: formatLsn(endLsn) })),
        points,
      );
    });

    // 18 is read beside pg_waldump elsewhere
    if (major === 16 || major === 17) {
      it('is read as pg_walinspect reads it', async () => {
        const { session, segments, indexes, redoLsn } = served;
        await session.query('CREATE EXTENSION pg_walinspect');
        const rows = await session.query<InspectedRow>(
          `SELECT start_lsn::text AS start, end_lsn::text AS "end", prev_lsn::text AS previous, xid::text,
             resource_manager AS manager, record_type AS type, record_length AS length, main_data_length AS main,
             block_ref AS "references"
           FROM pg_get_wal_records_info($1, $2)`,
          [formatLsn(indexes[0]?.firstRecordLsn ?? redoLsn), formatLsn(redoLsn)],
        );
        const ours = segments.flatMap((segment) => [...readRecords(segment)]).filter(({ lsn }) => lsn < redoLsn);
        const whole = new Set(ours.map(({ lsn }) => formatLsn(lsn)));
        const expected = rows.filter(({ start }) => whole.has(start)).map(inspectedLine);
        const at = ours.findIndex((record, i) => ourLine(record) !== expected[i]);
        assert.ok(at < 0, ours[at] && `found ${ourLine(ours[at])}, expected ${expected[at]}`);
        assert.equal(ours.length, expected.length);
        const crossing = rows.filter(({ start }) => !whole.has(start)).map(({ start }) => start);
        assert.deepEqual(
          crossing,
          indexes.flatMap(({ tail }) => (tail ? [formatLsn(tail.lsn)] : [])),
        );
      });
    }

    if (major >= 17) {
      it('changed the blocks that its own summaries say', async () => {
        const { session, indexes, redoLsn } = served;
        const summaries = await waitForSummaries(session, redoLsn);
        assert.equal(summaries[0]?.start, indexes[0]?.firstRecordLsn);
        const summarized = await readSummaries(session, summaries);
        const joined = joinedOf(indexes);
        const changes = mergeBlockChanges(indexes.flatMap((index, i) => [index.changes, joined[i]?.changes ?? []]));
        const isTold = comparable(changes, indexes);
        const found = changes.flatMap(({ relation, blocks, truncatedTo }) => {
          const key = forkKey(relation.spcOid, relation.dbOid, relation.relNumber, relation.fork);
          return isTold(key) ? [forkLine(key, blocks, truncatedTo)] : [];
        });
        const expected = [...summarized].flatMap(([key, { blocks, cut }]) =>
          isTold(key) ? [forkLine(key, blocks, cut)] : [],
        );
        assert.ok(expected.length > 500, `${expected.length} forks`);
        assert.deepEqual(found.toSorted(), expected.toSorted());
      });
    }
  });
}
