import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { readBackup, sameFiles } from '../../test/support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages } from '../../test/support/made-up-cluster.ts';
import { blobsOf, changedBlocks, checkSums, MadeUpIncrements } from '../../test/support/made-up-increments.ts';
import { testRepository } from '../../test/support/test-repository.ts';
import { pageBytes } from '../postgres/page.ts';
import type { Evidence } from './look-at-file.ts';

const relations = ['base/5/16384', 'base/5/16385', 'base/5/16386_init'];
/** Told by identity and contents, whatever WAL says. */
const others = ['base/5/16384_fsm', 'base/5/16384_vm', 'pg_xact/0000', 'postgresql.conf'];

/** So small that a file has several, and a change leaves some as they were. */
const pieceBytes = 40 * pageBytes;

/** A change to one file between two copies. */
type Change =
  | { readonly kind: 'write'; readonly blocks: readonly number[] }
  | { readonly kind: 'resize'; readonly bytes: number }
  | { readonly kind: 'cut and grow'; readonly to: number; readonly pages: number }
  | { readonly kind: 'make anew'; readonly pages: number }
  | { readonly kind: 'remove' };

const changeArbitrary: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      blocks: fc.array(fc.nat({ max: 139 }), { maxLength: 8 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('resize' as const), bytes: fc.nat({ max: 130 * pageBytes }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('resize' as const),
      bytes: fc.nat({ max: 130 }).map((pages) => pages * pageBytes),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('cut and grow' as const),
      to: fc.nat({ max: 130 }),
      pages: fc.nat({ max: 30 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('make anew' as const), pages: fc.nat({ max: 130 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const) }) },
);

interface Step {
  readonly evidence: Evidence['kind'];
  readonly changes: readonly { readonly path: string; readonly change: Change }[];
  /** Blocks that WAL names although they are as they were. */
  readonly superfluous: readonly number[];
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  evidence: fc.constantFrom('wal', 'wal', 'files', 'sums', 'all'),
  changes: fc.array(fc.record({ path: fc.constantFrom(...relations, ...others), change: changeArbitrary }), {
    maxLength: 6,
  }),
  superfluous: fc.array(fc.nat({ max: 139 }), { maxLength: 4 }),
});

/** Plays changes on the disk, and notes which blocks WAL would name. */
class Player {
  readonly #made: MadeUpCluster;
  readonly named = new Map<string, Set<number> | 'whole'>();
  #seed = 0;
  readonly #pageLsn: bigint;

  constructor(made: MadeUpCluster, step: number) {
    this.#made = made;
    this.#seed = step * 1000;
    this.#pageLsn = lsnOf(step);
  }

  play(path: string, change: Change): void {
    const old = this.#read(path);
    if (change.kind === 'remove') {
      rmSync(this.#made.path(path), { force: true });
      this.named.set(path, 'whole');
    } else if (change.kind === 'make anew' || !old) {
      rmSync(this.#made.path(path), { force: true });
      const pages = change.kind === 'make anew' ? change.pages : 3;
      this.#made.write(path, madeUpPages(pages, { seed: (this.#seed += 1), pageLsn: this.#pageLsn }));
      this.named.set(path, 'whole');
    } else if (change.kind === 'write') {
      const pages = Math.floor(old.length / pageBytes);
      for (const block of change.blocks) if (pages > 0) this.#write(path, block % pages);
    } else if (change.kind === 'resize') {
      this.#resize(path, old.length, change.bytes);
    } else {
      const pages = Math.floor(old.length / pageBytes);
      const to = Math.min(pages, change.to);
      this.#resize(path, old.length, to * pageBytes);
      for (let block = to; block < to + change.pages; block += 1) this.#write(path, block);
    }
  }

  #read(path: string): Buffer | undefined {
    try {
      return readFileSync(this.#made.path(path));
    } catch {
      return undefined;
    }
  }

  #write(path: string, block: number): void {
    const bytes = this.#read(path) ?? Buffer.alloc(0);
    const page = madeUpPages(1, { first: block, seed: (this.#seed += 1), pageLsn: this.#pageLsn });
    const whole = Buffer.alloc(Math.max(bytes.length, (block + 1) * pageBytes));
    whole.set(bytes);
    whole.set(page, block * pageBytes);
    this.#overwrite(path, whole);
    this.#name(path, block);
  }

  /** Growth leaves zeros, which WAL need not name; what is cut off is named as far as it comes back. */
  #resize(path: string, before: number, bytes: number): void {
    truncateSync(this.#made.path(path), bytes);
    if (bytes >= before) return;
    for (let block = Math.floor(bytes / pageBytes); block < 140; block += 1) this.#name(path, block);
  }

  #name(path: string, block: number): void {
    const named = this.named.get(path);
    if (named === 'whole') return;
    if (named) named.add(block);
    else this.named.set(path, new Set([block]));
  }

  /** Without another inode. */
  #overwrite(path: string, bytes: Buffer): void {
    writeFileSync(this.#made.path(path), bytes);
  }
}

/** Of pages written in a step; and where a copy after that step starts. */
function lsnOf(step: number): bigint {
  return BigInt(step) * 0x1000n;
}

describe('copies that build on each other', () => {
  it('have what the data directory has, whatever changed and however that is told', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 1, maxLength: 6 }), async (steps) => {
        using made = new MadeUpCluster();
        for (const [i, path] of [...relations, ...others].entries())
          made.write(path, madeUpPages(10 + i * 17, { seed: i }));
        const increments = new MadeUpIncrements(made, (await testRepository()).cluster('main'), pieceBytes);
        await increments.copy({ kind: 'all' });
        for (const [i, step] of steps.entries()) {
          // A tick of the file system’s clock: a time of change is another one then.
          await sleep(12);
          const player = new Player(made, i + 1);
          for (const { path, change } of step.changes) player.play(path, change);
          const expected = increments.present();
          const { id } = await increments.copy(evidenceOf(step, player));
          sameFiles(onlyFiles(await readBackup(increments.cluster, id)), expected);
          await checkSums(increments.cluster, id);
        }
      }),
      { numRuns: Number(process.env['PGRECALL_TEST_RUNS'] ?? 25) },
    );
  });
});

const heap = 'base/5/16384';

function walNames(...numbers: readonly number[]): Evidence {
  return { kind: 'wal', changed: changedBlocks(new Map([[heap, numbers]])) };
}

/** A data directory with one relation of so many pages, and a first copy of it. */
async function firstCopy(made: MadeUpCluster, pages: number, bytes = pieceBytes): Promise<MadeUpIncrements> {
  made.write(heap, madeUpPages(pages));
  const increments = new MadeUpIncrements(made, (await testRepository()).cluster('main'), bytes);
  await increments.copy({ kind: 'all' });
  return increments;
}

/** Writes a page without touching the others. */
function writePage(made: MadeUpCluster, block: number, page: Buffer): void {
  const descriptor = openSync(made.path(heap), 'r+');
  writeSync(descriptor, page, 0, page.length, block * pageBytes);
  closeSync(descriptor);
}

const newPage = (block: number, seed: number): Buffer => madeUpPages(1, { first: block, seed });

async function heapOf({ cluster }: MadeUpIncrements, id: string): Promise<Buffer> {
  const content = (await readBackup(cluster, id)).get(heap);
  assert.ok(Buffer.isBuffer(content));
  await checkSums(cluster, id);
  return content;
}

describe('a copy that builds on another', () => {
  it('reads what WAL names and nothing else, and stores of it what is another page', async () => {
    using made = new MadeUpCluster();
    const increments = await firstCopy(made, 100);
    for (const block of [5, 50, 60]) writePage(made, block, newPage(block, 9));
    const { id, copied } = await increments.copy(walNames(5, 6, 45, 60));
    const expected = madeUpPages(100);
    for (const block of [5, 60]) newPage(block, 9).copy(expected, block * pageBytes);
    assert.deepEqual(await heapOf(increments, id), expected, 'block 50 is as WAL knows it');
    assert.deepEqual([copied.pagesRead, copied.pagesStored, copied.bytesRead], [4, 2, 4 * pageBytes]);
  });

  it('stores by contents only what is another page, too', async () => {
    using made = new MadeUpCluster();
    const increments = await firstCopy(made, 100);
    writePage(made, 77, newPage(77, 9));
    const { id, copied } = await increments.copy({ kind: 'sums' });
    assert.deepEqual(await heapOf(increments, id), readFileSync(made.path(heap)));
    assert.equal(copied.pagesStored, 1);
  });

  it('has a page of an earlier state of the disk, whatever its LSN: of a file that was written to, all is compared', async () => {
    using made = new MadeUpCluster();
    const increments = await firstCopy(made, 100);
    await sleep(12);
    writePage(made, 77, madeUpPages(1, { first: 77, seed: 9, pageLsn: 0x10n }));
    const { id, copied } = await increments.copy({ kind: 'files' });
    assert.deepEqual(await heapOf(increments, id), readFileSync(made.path(heap)));
    assert.equal(copied.pagesStored, 1);
    assert.equal((await increments.copy({ kind: 'files' })).copied.pagesRead, 0, 'what is as it was is not read');
  });

  it('ends a relation that shrinks meanwhile at its first short piece, after one that was not read', async () => {
    using made = new MadeUpCluster();
    const increments = await firstCopy(made, 100);
    const { id } = await increments.copy(walNames(45, 95), () => truncateSync(made.path(heap), 42 * pageBytes));
    // The second piece ends where block 45 was not found any more; the third is gone.
    assert.deepEqual(await heapOf(increments, id), madeUpPages(100).subarray(0, 45 * pageBytes));
  });

  for (const dataChecksums of [true, false]) {
    it(`has a file that was cut, and one that grew again, ${dataChecksums ? 'with' : 'without'} data checksums`, async () => {
      using made = new MadeUpCluster();
      const increments = await firstCopy(made, 100);
      increments.dataChecksums = dataChecksums;
      for (const kind of ['wal', 'files', 'sums'] as const) {
        for (const bytes of [80, 60, 60 + 1 / 8, 100, 40, 40 + 1 / 2, 0, 100].map((pages) => pages * pageBytes)) {
          await sleep(12);
          truncateSync(made.path(heap), bytes);
          // Zeros that are new need no mention.
          const { id } = await increments.copy(kind === 'wal' ? walNames() : { kind });
          assert.deepEqual(await heapOf(increments, id), readFileSync(made.path(heap)), `${bytes} bytes, ${kind}`);
        }
        made.write(heap, madeUpPages(100));
        await increments.copy({ kind: 'all' });
      }
    });
  }

  it('leaves out a relation that vanishes meanwhile', async () => {
    using made = new MadeUpCluster();
    const increments = await firstCopy(made, 100);
    const { id } = await increments.copy(walNames(45), () => rmSync(made.path(heap), { force: true }));
    assert.equal((await readBackup(increments.cluster, id)).has(heap), false);
  });

  it('looks at damaged pages again: they stay reported until they are mended', async () => {
    using made = new MadeUpCluster();
    const damaged = newPage(45, 1);
    damaged[4000] = 255 - (damaged[4000] ?? 0);
    made.write(heap, madeUpPages(100));
    writePage(made, 45, damaged);
    const increments = new MadeUpIncrements(made, (await testRepository()).cluster('main'), pieceBytes);
    const bad = [{ path: heap, blocks: [45] }];
    assert.deepEqual((await increments.copy({ kind: 'all' })).copied.badPages, bad);
    assert.deepEqual((await increments.copy(walNames(3))).copied.badPages, bad);
    writePage(made, 45, madeUpPages(100).subarray(45 * pageBytes, 46 * pageBytes));
    const { id, copied } = await increments.copy(walNames(3));
    assert.deepEqual(copied.badPages, []);
    assert.deepEqual(await heapOf(increments, id), madeUpPages(100));
  });

  it('does not scatter a file ever more: after many increments it lies in few blobs, and so do its sums', async () => {
    using made = new MadeUpCluster();
    const increments = await firstCopy(made, 256, 256 * pageBytes);
    for (let i = 1; i <= 40; i += 1) {
      const some = [(i * 37) % 256, (i * 101) % 256, (i * 211) % 256];
      for (const block of some) writePage(made, block, newPage(block, i));
      const { id } = await increments.copy(walNames(...some));
      const { content, contentBytes, sums } = await blobsOf(increments.cluster, id, heap);
      assert.ok(contentBytes <= 1.5 * 256 * pageBytes, `${contentBytes} bytes in blobs after ${i} increments`);
      assert.ok(content <= 20, `${content} blobs after ${i} increments`);
      assert.ok(sums <= 9, `sums in ${sums} blobs after ${i} increments`);
      if (i % 20 === 0) assert.deepEqual(await heapOf(increments, id), readFileSync(made.path(heap)));
    }
  });
});

function evidenceOf({ evidence, superfluous }: Step, player: Player): Evidence {
  if (evidence !== 'wal') return { kind: evidence };
  const changes = new Map<string, readonly number[] | 'whole'>(relations.map((path) => [path, superfluous]));
  for (const [path, blocks] of player.named) {
    if (!relations.includes(path)) continue;
    changes.set(path, blocks === 'whole' ? 'whole' : [...new Set([...blocks, ...superfluous])]);
  }
  return { kind: 'wal', changed: changedBlocks(changes) };
}

function onlyFiles(found: ReadonlyMap<string, Buffer | string>): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const [path, content] of found) if (Buffer.isBuffer(content)) files.set(path, content);
  return files;
}
