import assert from 'node:assert/strict';
import {
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
        for (const { from, to } of plan.moves.slice(0, Math.min(back, kept))) renameSync(to, from);
        putBack(plan);
        assert.deepEqual(place.state(), before);
      }),
      { numRuns: 60 },
    );
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
