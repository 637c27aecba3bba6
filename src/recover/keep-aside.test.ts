import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { clearMade, keepAside, keptDirectory, planKeep, putBack, removeKept } from './keep-aside.ts';
import { journalDirectory } from './recovery-journal.ts';
import { splitDatabase } from './assertions.ts';

const version = 'PG_15_202209061';

class Place implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'pgrecall-keep-'));
  readonly directory = join(this.root, 'data');
  readonly fast = join(this.root, 'fast');
  readonly wal = join(this.root, 'wal');

  constructor() {
    for (const path of [this.directory, join(this.fast, version), join(this.fast, 'PG_14_1'), this.wal]) {
      mkdirSync(path, { recursive: true });
    }
    mkdirSync(journalDirectory(this.directory));
    writeFileSync(join(this.directory, 'PG_VERSION'), '15');
    symlinkSync(this.wal, join(this.directory, 'pg_wal'));
    for (const name of ['a', 'b', 'c']) writeFileSync(join(this.wal, name), `old ${name}`);
    writeFileSync(join(this.fast, version, 't'), 'old');
    writeFileSync(join(this.fast, 'PG_14_1', 't'), 'another version’s');
  }

  /** What a restore leaves. */
  makeNew(): void {
    mkdirSync(this.directory);
    writeFileSync(join(this.directory, 'PG_VERSION'), 'new');
    mkdirSync(join(this.fast, version));
    writeFileSync(join(this.fast, version, 't'), 'new');
    for (const name of ['b', 'd']) writeFileSync(join(this.wal, name), `new ${name}`);
  }

  state(): readonly unknown[] {
    const wal = readdirSync(this.wal).map((name) => [name, readFileSync(join(this.wal, name), 'utf8')]);
    const tables = [version, 'PG_14_1'].map((name) => readFileSync(join(this.fast, name, 't'), 'utf8'));
    const times = [this.wal, this.fast, this.directory].map((path) => statSync(path, { bigint: true }).mtimeNs);
    return [readFileSync(join(this.directory, 'PG_VERSION'), 'utf8'), wal, tables, readdirSync(this.fast), times];
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

describe('what is kept aside', () => {
  it('comes back as it was, however far keeping and putting back had come', () => {
    fc.assert(
      fc.property(fc.nat(6), fc.boolean(), fc.nat(6), (kept, made, back) => {
        using place = new Place();
        const before = place.state();
        const plan = planKeep(place.directory, [place.fast], version);
        assert.ok(plan.moves.length === 5);
        keepAside({ moves: plan.moves.slice(0, kept) });
        if (kept >= plan.moves.length && made) place.makeNew();
        // A putting back that was killed: everything new is gone, some of the old is at its place.
        clearMade(plan);
        for (const { from, to } of plan.moves.slice(0, kept).slice(1).slice(0, back)) renameSync(to, from);
        putBack(plan);
        assert.deepEqual(place.state(), before);
      }),
      { numRuns: 60 },
    );
  });

  it('is out of reach for a server before anything else moves, and until everything else is back', () => {
    using place = new Place();
    const plan = planKeep(place.directory, [place.fast], version);
    assert.equal(plan.moves[0]?.from, place.directory);
    keepAside({ moves: plan.moves.slice(0, 1) });
    assert.ok(!existsSync(place.directory) && existsSync(join(place.wal, 'a')));
    keepAside(plan);
    // What cannot be moved back ends the undo before the directory is there.
    const stuck = { from: join(place.root, 'nowhere', 'x'), to: join(place.wal, 'a') };
    writeFileSync(stuck.to, '');
    assert.throws(() => putBack({ ...plan, moves: [...plan.moves, stuck] }));
    assert.ok(!existsSync(place.directory));
  });

  it('takes nothing that the old server has written where it was not moved, or is back', () => {
    using place = new Place();
    const plan = planKeep(place.directory, [place.fast], version);
    // It was started once more between the plan and the first move.
    writeFileSync(join(place.wal, 'e'), 'old, of later');
    putBack(plan);
    assert.equal(readFileSync(join(place.wal, 'e'), 'utf8'), 'old, of later');
    rmSync(join(place.wal, 'e'));
    keepAside(plan);
    putBack(plan);
    writeFileSync(join(place.wal, 'f'), 'old, after the undo');
    putBack(plan);
    assert.equal(readFileSync(join(place.wal, 'f'), 'utf8'), 'old, after the undo');
  });

  it('is the directory with the tablespaces that lie within it', () => {
    using place = new Place();
    const within = join(place.directory, 'within');
    mkdirSync(join(within, version), { recursive: true });
    const plan = planKeep(place.directory, [within], version);
    keepAside(plan);
    assert.ok(existsSync(join(keptDirectory(place.directory, plan.moves), 'within', version)));
    putBack(plan);
    assert.ok(existsSync(join(within, version)));
  });

  it('lies beside the journal, and is gone when it is to be forgotten', () => {
    using place = new Place();
    const plan = planKeep(place.directory, [place.fast], version);
    keepAside(plan);
    const kept = keptDirectory(place.directory, plan.moves);
    assert.equal(kept, join(journalDirectory(place.directory), 'kept'));
    assert.equal(readFileSync(join(kept, 'PG_VERSION'), 'utf8'), '15');
    keepAside(plan);
    place.makeNew();
    removeKept(plan);
    assert.deepEqual(readdirSync(place.fast).toSorted(), ['PG_14_1', version].toSorted());
    assert.deepEqual(readdirSync(place.wal), ['b', 'd']);
    assert.equal(readFileSync(join(place.directory, 'PG_VERSION'), 'utf8'), 'new');
  });
});

describe('an assertion', () => {
  it('may name its database', () => {
    assert.deepEqual(splitDatabase('shop: SELECT true'), ['shop', 'SELECT true']);
    assert.deepEqual(splitDatabase('SELECT 1::int = 1'), [undefined, 'SELECT 1::int = 1']);
  });
});
