import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { systemProcesses, type HolderState } from '../repository/lock-holder.ts';
import { makePassingDirectory } from './passing-directory.ts';

describe('the directory that a dump passes through', () => {
  const state = join(mkdtempSync(join(tmpdir(), 'pgrecall-passing-')), 'state');
  after(() => rmSync(join(state, '..'), { recursive: true }));
  const processes = (stateOf: HolderState): typeof systemProcesses => ({
    self: () => systemProcesses.self(),
    stateOf: () => stateOf,
  });

  it('is one that nobody else can look into, made with the state directory', () => {
    const directory = makePassingDirectory(state);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    assert.ok(directory.startsWith(state));
  });

  it('goes when who made it has died, and stays while it lives or may live elsewhere', () => {
    const left = makePassingDirectory(state);
    mkdirSync(join(left, 'dump'));
    writeFileSync(join(left, 'dump', '4711.dat'), 'rows');
    for (const stateOf of ['alive', 'elsewhere'] as const) {
      makePassingDirectory(state, processes(stateOf));
      assert.ok(existsSync(left), stateOf);
    }
    makePassingDirectory(state, processes('dead'));
    assert.ok(!existsSync(left));
  });

  it('leaves alone what is no such directory, or says nothing of its maker', () => {
    const others = ['dump-notes', 'dump-abcdef', 'other'].map((name) => join(state, name));
    for (const path of others) mkdirSync(path);
    writeFileSync(join(state, 'dump-abcdef', 'holder.json'), '{"pid": 1}');
    makePassingDirectory(state, processes('dead'));
    for (const path of others) assert.ok(existsSync(path), path);
  });
});
