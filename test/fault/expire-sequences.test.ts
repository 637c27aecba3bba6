import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { pageBytes } from '../../src/postgres/page.ts';
import type { ClusterRepository } from '../../src/repository/cluster-repository.ts';
import { systemProcesses, type ProcessTable } from '../../src/repository/lock-holder.ts';
import { claimReferences, readClaims } from '../../src/repository/claim.ts';
import { sweep } from '../../src/repository/sweep.ts';
import { expireBackup } from '../../src/repository/tombstone.ts';
import { hasCode } from '../../src/errors/pgrecall-error.ts';
import { FaultStorage, type Fault } from '../../src/storage/fault.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { readBackup, reopened, sameFiles } from '../support/made-up-backup.ts';
import { MadeUpCluster, madeUpPages } from '../support/made-up-cluster.ts';
import { checkSums, MadeUpIncrements, type MadeUpCopy } from '../support/made-up-increments.ts';
import { backupRecord, countingBytes, noon, testRepository } from '../support/test-repository.ts';

/*
 * Random sequences of changes, backups that build on earlier ones, expiries and sweeps, in any of which the process may die
 * or an operation may fail: whatever is listed is at every moment what the cluster was.
 */

type Step =
  | { readonly kind: 'change'; readonly path: number; readonly pages: readonly number[]; readonly seed: number }
  | { readonly kind: 'churn'; readonly spared: number; readonly seed: number }
  | { readonly kind: 'remove'; readonly path: number }
  | { readonly kind: 'backup'; readonly evidence: 'sums' | 'all'; readonly reference: number; readonly fault?: Fault }
  | { readonly kind: 'expire'; readonly which: number; readonly fault?: Fault }
  | { readonly kind: 'sweep'; readonly alone: boolean; readonly fault?: Fault };

const paths = ['base/5/16384', 'base/5/16385', 'base/5/16386', 'base/5/16387', 'pg_xact/0000'];

const fault: fc.Arbitrary<Fault | undefined> = fc.option(
  fc.record({
    at: fc.integer({ min: 1, max: 60 }),
    mode: fc.constantFrom('error', 'crash'),
    effect: fc.constantFrom('none', 'done'),
  }),
  { nil: undefined, freq: 2 },
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      path: fc.nat(4),
      pages: fc.uniqueArray(fc.nat(19), { maxLength: 12 }),
      seed: fc.nat(999),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('churn' as const), spared: fc.nat(4), seed: fc.nat(999) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), path: fc.nat(4) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('backup' as const),
      evidence: fc.constantFrom('sums', 'sums', 'sums', 'all'),
      reference: fc.nat(9),
      fault,
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('expire' as const), which: fc.nat(9), fault }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('sweep' as const), alone: fc.boolean(), fault }) },
) as fc.Arbitrary<Step>;

/** What makes a pack mostly dead, which chance alone seldom does: a backup that shares little, and the one before goes. */
const turn = fc
  .record({ spared: fc.nat(4), seed: fc.nat(999), fault })
  .map(({ spared, seed, fault: wrong }): Step[] => [
    { kind: 'churn', spared, seed },
    { kind: 'backup', evidence: 'sums', reference: -1 },
    { kind: 'expire', which: -2 },
    { kind: 'sweep', alone: true, ...(wrong ? { fault: wrong } : {}) },
  ]);

const sequence = fc
  .array(fc.oneof({ weight: 5, arbitrary: step.map((one) => [one]) }, { weight: 1, arbitrary: turn }), {
    minLength: 10,
    maxLength: 30,
    size: 'max',
  })
  .map((steps) => steps.flat());

/** Those of a process that has died. */
const dead: ProcessTable = { self: () => systemProcesses.self(), stateOf: () => 'dead' };

class Play {
  readonly made = new MadeUpCluster();
  readonly memory = new MemoryStorage();
  /** How many packs were. */
  repacked = 0;
  readonly #repository: Awaited<ReturnType<typeof testRepository>>;
  readonly #states = new Map<string, ReadonlyMap<string, Buffer>>();
  readonly #copies = new Map<string, MadeUpCopy>();
  readonly #increments: MadeUpIncrements;
  #storage: Storage = this.memory;

  private constructor(repository: Awaited<ReturnType<typeof testRepository>>) {
    this.#repository = repository;
    // As each process opens it, over the storage of the moment.
    const current = (): Storage => this.#storage;
    const cluster = reopened(
      repository,
      new Proxy(this.memory, {
        get: (_, name) => {
          const value: unknown = Reflect.get(current(), name);
          return typeof value === 'function' ? (value.bind(current()) as unknown) : value;
        },
      }),
    );
    this.#increments = new MadeUpIncrements(this.made, cluster, 8 * pageBytes);
    for (const path of paths) this.made.write(path, madeUpPages(20, { seed: path.length }));
  }

  static async begin(): Promise<Play> {
    const memory = new MemoryStorage();
    const play = new Play(await testRepository({ storage: memory }));
    for (const [key, bytes] of memory.objects) play.memory.objects.set(key, bytes);
    return play;
  }

  get cluster(): ClusterRepository {
    return reopened(this.#repository, this.memory);
  }

  async run(step_: Step): Promise<void> {
    if (step_.kind === 'remove') rmSync(this.made.path(paths[step_.path] ?? ''), { force: true });
    else if (step_.kind === 'change') this.#change(step_);
    else if (step_.kind === 'churn') this.#churn(step_);
    else await this.#under(step_.fault, async () => this.#act(step_));
    await this.#check();
  }

  #change({ path, pages, seed }: Extract<Step, { kind: 'change' }>): void {
    const name = paths[path] ?? '';
    let content: Buffer = madeUpPages(20, { seed: seed + 1 });
    try {
      content = readFileSync(this.made.path(name));
    } catch {
      // It was removed.
    }
    for (const page of pages) madeUpPages(1, { first: page, seed: seed + page }).copy(content, page * pageBytes);
    this.made.write(name, content);
  }

  #churn({ spared, seed }: Extract<Step, { kind: 'churn' }>): void {
    const pages = Array.from({ length: 20 }, (_, page) => page);
    for (const [path] of paths.entries()) {
      if (path !== spared) this.#change({ kind: 'change', path, pages, seed: seed * 10 + path });
    }
  }

  /** What the process does; an error is one of the storage that was made to fail. */
  async #under(wrong: Fault | undefined, action: () => Promise<void>): Promise<void> {
    this.#storage = wrong ? new FaultStorage(this.memory, wrong) : this.memory;
    try {
      await action();
    } catch (error) {
      if (!wrong || !hasCode(error, 'storage')) throw error;
    } finally {
      this.#storage = this.memory;
    }
    await readClaims(this.cluster, dead);
  }

  async #act(step_: Extract<Step, { fault?: Fault }>): Promise<void> {
    const cluster = this.#increments.cluster;
    const listed = (await cluster.listBackups()).map(({ id }) => id);
    if (step_.kind === 'backup') {
      await this.#backUp(cluster, listed, step_);
    } else if (step_.kind === 'expire') {
      const id = listed.at(step_.which % Math.max(1, listed.length));
      if (id === undefined) return;
      await expireBackup(cluster, id, noon());
    } else {
      const signal = new AbortController().signal;
      const { repacked } = await sweep(cluster, { alone: step_.alone, signal, say: () => undefined });
      this.repacked += repacked.packs;
    }
  }

  async #backUp(
    cluster: ClusterRepository,
    listed: readonly string[],
    { evidence, reference }: Extract<Step, { kind: 'backup' }>,
  ): Promise<void> {
    const base = listed.at(reference % Math.max(1, listed.length));
    this.#increments.last = base === undefined ? undefined : this.#copies.get(base);
    const present = this.#increments.present();
    const references = base === undefined || evidence === 'all' ? [] : [base];
    const lock = { purpose: 'backup', now: noon, randomBytes: countingBytes(`claim ${this.#copies.size}`) };
    await using _claim = await claimReferences(cluster, 'running', references, lock);
    const copy = await this.#increments.copy({ kind: references.length === 0 ? 'all' : evidence });
    this.#copies.set(copy.id, copy);
    this.#states.set(copy.id, present);
    await using manifest = await cluster.openManifest(copy.id);
    await cluster.writeRecord(copy.id, backupRecord(copy.id, { packs: await manifest.packs() }));
  }

  async #check(): Promise<void> {
    for (const { id } of await this.cluster.listBackups()) {
      const content = await readBackup(this.cluster, id);
      const files = new Map([...content].filter(([path, one]) => Buffer.isBuffer(one) && path !== 'global/pg_control'));
      sameFiles(files, this.#states.get(id) ?? new Map());
    }
  }

  /** When nothing goes wrong any more, a sweep leaves what is referred to, and every backup that nobody expired. */
  async end(): Promise<void> {
    const signal = new AbortController().signal;
    for (const _ of [1, 2]) await sweep(this.cluster, { alone: true, signal, say: () => undefined });
    await this.#check();
    const backups = await this.cluster.listBackups();
    for (const { id } of backups) await checkSums(this.cluster, id);
    assert.deepEqual(new Set(await this.cluster.listPacks()), new Set(backups.flatMap(({ packs }) => packs)));
    assert.deepEqual(
      await this.cluster.listBackupFolders(),
      backups.map(({ id }) => id),
    );
  }

  [Symbol.dispose](): void {
    this.made[Symbol.dispose]();
  }
}

describe('whatever is changed, backed up, expired and swept, in whatever order, and whatever goes wrong', () => {
  it('each backup that is listed is what the cluster was', async () => {
    let repacked = 0;
    await fc.assert(
      fc.asyncProperty(sequence, async (steps) => {
        using play = await Play.begin();
        for (const one of steps) await play.run(one);
        await play.end();
        repacked += play.repacked;
      }),
      { numRuns: 40 },
    );
    assert.ok(repacked > 10, `only ${repacked} packs were repacked`);
  });
});
