import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { readChangedBlocks, type ChangedBlocks, type StartPosition } from '../../src/archive/changed-blocks.ts';
import { WalStore } from '../../src/archive/wal-store.ts';
import { decodeControlFile, type ControlFile } from '../../src/postgres/control-file.ts';
import { formatLsn, parseLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { parseSegmentName, segmentOf } from '../../src/postgres/segment-name.ts';
import { parseHistory, type TimelineHistory } from '../../src/postgres/timeline-history.ts';
import { timeline } from '../../src/postgres/timeline.ts';
import type { RelationFork } from '../../src/wal/wal-event.ts';
import { changeFiles, changeRows, changeTimeline, makeWhatChanges } from '../support/changing-load.ts';
import { TestCluster, type Major } from '../support/cluster.ts';
import { countRecords, countSummarized, type CountedForks } from '../support/counted-blocks.ts';
import { pageBytes, readRelationFiles, type RelationFileRead } from '../support/relation-pages.ts';
import { giveToServer } from '../support/server-user.ts';
import { incarnationOf } from '../support/test-archive.ts';
import { testRepository } from '../support/test-repository.ts';
import { loadSettings, writeAllKindsOfWal } from '../support/wal-load.ts';
import { readSummaries, waitForSummaries, type SummarizedFork, type WalSummary } from '../support/wal-summaries.ts';
import { readSegments } from '../support/written-wal.ts';

/*
 * The blocks that WAL says were changed, beside two witnesses: the pages of a stopped server before and after, where
 * nothing that differs may be left out; and the summaries that 17 and newer make of their own WAL, block for block.
 */

const mib = 1_048_576;

interface Witnessed {
  readonly store: WalStore;
  readonly history: TimelineHistory;
  readonly from: StartPosition;
  readonly to: StartPosition;
  readonly filesBefore: ReadonlyMap<string, RelationFileRead>;
  readonly filesAfter: ReadonlyMap<string, RelationFileRead>;
  readonly summarized: readonly Summarized[];
  readonly segments: readonly Segment[];
  /** Path of a table that nobody writes to. */
  readonly untouched: string;
}

/** What the server's summaries say of a stretch. */
interface Summarized {
  readonly from: StartPosition;
  readonly to: StartPosition;
  readonly forks: ReadonlyMap<string, SummarizedFork>;
}

interface Segment {
  readonly name: string;
  readonly bytes: Buffer;
}

async function witness(cluster: TestCluster, segmentBytes: number): Promise<Witnessed> {
  await makeWhatChanges(cluster);
  const untouched = await pathOf(cluster, 'untouched');
  await cluster.stop();
  const filesBefore = readRelationFiles(cluster.dataDirectory);
  const reference = controlOf(cluster);
  await cluster.start();

  const marks: StartPosition[] = [];
  await changeRows(cluster);
  marks.push(await checkpoint(cluster, true));
  await writeAllKinds(cluster);
  marks.push(await checkpoint(cluster, false));
  await changeFiles(cluster);
  await cluster.restart('immediate');
  marks.push(await checkpoint(cluster, true));
  await changeTimeline(cluster);
  await changeRows(cluster);
  marks.push(await checkpoint(cluster, false));
  const summarized = cluster.major >= 17 ? await summarize(cluster, marks) : [];

  await cluster.stop();
  const filesAfter = readRelationFiles(cluster.dataDirectory);
  const end = controlOf(cluster);
  assert.deepEqual([reference.timeline, end.timeline], [1, 2]);
  const directory = join(cluster.dataDirectory, 'pg_wal');
  const segments = readSegments(directory, segmentBytes, end.checkpointLsn);
  return {
    store: await archive(segments, end),
    history: parseHistory(readFileSync(join(directory, '00000002.history'), 'utf8'), timeline(2)),
    from: startOf(reference),
    to: startOf(end),
    filesBefore,
    filesAfter,
    summarized,
    segments,
    untouched,
  };
}

/** As a backup starts with its checkpoint. */
function startOf({ timeline: on, redoLsn, checkpointLsn }: ControlFile): StartPosition {
  return { timeline: on, lsn: redoLsn, checkpointLsn };
}

async function pathOf(cluster: TestCluster, table: string): Promise<string> {
  await using session = await cluster.session();
  const [found] = await session.query<{ path: string }>('SELECT pg_relation_filepath($1) AS path', [table]);
  return found?.path ?? '';
}

function controlOf(cluster: TestCluster): ControlFile {
  return decodeControlFile(readFileSync(join(cluster.dataDirectory, 'global/pg_control')));
}

async function writeAllKinds(cluster: TestCluster): Promise<void> {
  const tablespace = join(cluster.socketDirectory, 'elsewhere');
  mkdirSync(tablespace);
  giveToServer(tablespace);
  await writeAllKindsOfWal({ cluster, compression: [], tablespace });
}

/** Where the server would begin a summary: its redo, at the beginning of a segment or somewhere within. */
async function checkpoint(cluster: TestCluster, switchSegment: boolean): Promise<StartPosition> {
  await using session = await cluster.session();
  if (switchSegment) await session.query('SELECT pg_switch_wal()');
  await session.query('CHECKPOINT');
  const [last] = await session.query<{ redo: string; checkpoint: string; tli: number }>(
    'SELECT redo_lsn::text AS redo, checkpoint_lsn::text AS checkpoint, timeline_id AS tli FROM pg_control_checkpoint()',
  );
  assert.ok(last);
  return { timeline: timeline(last.tli), lsn: parseLsn(last.redo), checkpointLsn: parseLsn(last.checkpoint) };
}

/** From each mark to each later one. */
async function summarize(cluster: TestCluster, marks: readonly StartPosition[]): Promise<Summarized[]> {
  await using session = await cluster.session();
  const last = marks.at(-1);
  assert.ok(last);
  const summaries = await waitForSummaries(session, last.lsn);
  const stretches = marks.flatMap((from, i) => marks.slice(i + 1).map((to) => [from, to] as const));
  const found: Summarized[] = [];
  for (const [from, to] of stretches) {
    const within = summaries.filter(({ start, end }) => start >= from.lsn && end <= to.lsn);
    assertGapless(within, from.lsn, to.lsn);
    found.push({ from, to, forks: await readSummaries(session, within) });
  }
  return found;
}

function assertGapless(summaries: readonly WalSummary[], from: Lsn, to: Lsn): void {
  let at = from;
  for (const { start, end } of summaries) {
    assert.equal(formatLsn(start), formatLsn(at));
    at = end;
  }
  assert.equal(formatLsn(at), formatLsn(to));
}

/** All that lies in pg_wal, the last segment as far as it goes. */
async function archive(segments: readonly Segment[], control: ControlFile): Promise<WalStore> {
  const { segmentBytes, postgresMajor } = control;
  const systemIdentifier = String(control.systemIdentifier);
  const repository = await testRepository();
  const store = new WalStore(
    repository.cluster('main'),
    incarnationOf(segmentBytes, { systemIdentifier, postgresMajor }),
  );
  for (const { name, bytes } of segments) {
    if (name === segments.at(-1)?.name) await store.putPartial(name, bytes);
    else await store.putSegment(name, bytes);
  }
  return store;
}

async function changedIn(
  { store, history }: Witnessed,
  from: StartPosition,
  to: StartPosition,
): Promise<ChangedBlocks> {
  const evidence = await readChangedBlocks({ store, history, from, to, signal: new AbortController().signal });
  assert.ok('changed' in evidence, 'unfit' in evidence ? evidence.unfit : '');
  return evidence.changed;
}

const isTold = ({ fork }: RelationFork): boolean => fork === 0 || fork === 3;

// The pages of a stopped server

/** Pages that are not as they were, with their LSN as it was and is. */
function* differing(was: RelationFileRead, is: RelationFileRead): Generator<{ block: number; sameLsn: boolean }> {
  for (let at = 0; at < is.bytes.length; at += pageBytes) {
    const [old, present] = [was, is].map(({ bytes }) => bytes.subarray(at, at + pageBytes));
    assert.ok(old && present);
    if (old.equals(present)) continue;
    const sameLsn = old.length > 0 && old.subarray(0, 8).equals(present.subarray(0, 8));
    yield { block: is.firstBlock + at / pageBytes, sameLsn };
  }
}

interface Compared {
  readonly leftOut: string[];
  differing: number;
  hintBitsOnly: number;
  whole: number;
}

/** Without checksums, a page of which only hint bits are others keeps its LSN, and no WAL tells. */
function comparePages({ filesBefore, filesAfter }: Witnessed, changed: ChangedBlocks, checksums: boolean): Compared {
  const found: Compared = { leftOut: [], differing: 0, hintBitsOnly: 0, whole: 0 };
  for (const [path, is] of filesAfter) {
    const was = filesBefore.get(path);
    const run = changed.of(is.relation, is.firstBlock, is.firstBlock + is.bytes.length / pageBytes);
    if (run?.whole) found.whole += 1;
    else if (!isTold(is.relation)) found.leftOut.push(`${path} as a whole`);
    else if (!was) found.leftOut.push(`${path}, which is new`);
    else {
      const blocks = new Set(run?.blocks);
      for (const { block, sameLsn } of differing(was, is)) {
        if (blocks.has(block)) found.differing += 1;
        else if (sameLsn && !checksums) found.hintBitsOnly += 1;
        else found.leftOut.push(`${path} block ${block}`);
      }
    }
  }
  return found;
}

// The server's summaries

/**
 * Compares the blocks of every fork that either knows. Ours has those, too, of records that lie in the same segments
 * before the beginning or after the end.
 */
function compareBlocks(changed: ChangedBlocks, summarized: CountedForks, around: CountedForks, all: CountedForks) {
  const found = { forks: 0, same: 0, around: 0, missing: [] as string[], unexplained: [] as string[] };
  for (const [key, relation] of new Map([...summarized.relations, ...all.relations])) {
    if (relation.relNumber === 0) continue;
    const end = Math.max(summarized.highest(relation), all.highest(relation)) + 2;
    const run = changed.of(relation, 0, end);
    if (!isTold(relation)) {
      if (run?.whole !== true) found.missing.push(`${key} as a whole`);
      continue;
    }
    found.forks += 1;
    const blocks = new Set(run?.blocks);
    for (let block = 0; block < end; block += 1) {
      const [ours, theirs] = [run?.whole === true || blocks.has(block), summarized.has(relation, block)];
      if (ours && theirs) found.same += 1;
      else if (theirs) found.missing.push(`${key} block ${block}`);
      else if (ours && around.has(relation, block)) found.around += 1;
      else if (ours) found.unexplained.push(`${key} block ${block}`);
    }
  }
  return found;
}

for (const [major, walSegmentMiB, dataChecksums] of [
  [14, 1, false],
  [15, 1, true],
  [16, 16, true],
  [17, 1, true],
  [18, 1, true],
] as const satisfies readonly (readonly [Major, number, boolean])[]) {
  describe(`what PostgreSQL ${major} changed, by its WAL`, () => {
    const segmentBytes = walSegmentMiB * mib;
    let witnessed: Witnessed;
    before(async () => {
      const settings = {
        ...loadSettings,
        wal_log_hints: 'off',
        ...(major >= 17 && { summarize_wal: 'on' }),
      };
      await using cluster = await TestCluster.create({ major, walSegmentMiB, dataChecksums, settings });
      witnessed = await witness(cluster, segmentBytes);
    });

    it('has every page that is not what it was, and every file that came anew', async () => {
      const { from, to } = witnessed;
      const { leftOut, hintBitsOnly, ...compared } = comparePages(
        witnessed,
        await changedIn(witnessed, from, to),
        dataChecksums,
      );
      assert.deepEqual(leftOut, []);
      assert.ok(compared.differing > 500 && compared.whole > 500, JSON.stringify(compared));
      assert.equal(hintBitsOnly > 0, !dataChecksums);
    });

    it('has nothing of a table that nobody wrote to', async () => {
      const { from, to, filesAfter, untouched } = witnessed;
      const file = filesAfter.get(untouched);
      assert.ok(file && file.bytes.length > 50 * pageBytes);
      assert.equal((await changedIn(witnessed, from, to)).of(file.relation, 0, 100), undefined);
    });

    if (major >= 17) {
      it('is what the summaries of the server say, block for block', async () => {
        const { segments } = witnessed;
        const all = countRecords(
          segments.map(({ bytes }) => bytes),
          () => true,
        );
        for (const { from, to, forks } of witnessed.summarized) {
          const ends = segments.filter(({ name }) => {
            const number = parseSegmentName(name, segmentBytes).number;
            return [from, to].some(({ lsn }) => segmentOf(lsn, segmentBytes) === number);
          });
          const around = countRecords(
            ends.map(({ bytes }) => bytes),
            (start) => start < from.lsn || start >= to.lsn,
          );
          const changed = await changedIn(witnessed, from, to);
          const { missing, unexplained, ...found } = compareBlocks(
            changed,
            countSummarized(forks.values()),
            around,
            all,
          );
          assert.deepEqual({ missing, unexplained }, { missing: [], unexplained: [] });
          assert.ok(found.forks > 1000 && found.same > 500, JSON.stringify(found));
          // where it is of whole segments, nothing is around it
          if ([from, to].every(({ lsn }) => lsn % BigInt(segmentBytes) === 40n)) assert.equal(found.around, 0);
        }
      });
    }
  });
}
