import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainFailedCopy } from './copy-failure.ts';
import { explainFailedLoad } from './explain-load.ts';

/* What pg_restore says of a table in a tablespace that is not there: the server's detail alone has its name, and begins a line. */

const ending = {
  exitStatus: 1,
  killedBy: null,
  lines: [
    'pg_restore: error: could not set "default_tablespace" to fast: ERROR:  invalid value for parameter "default_tablespace": "fast"',
    'DETAIL:  Tablespace "fast" does not exist.',
  ],
};

describe('a tablespace that is missing at the target', () => {
  it('is named in the hint of a load', () => {
    const error = explainFailedLoad({ name: 'pg_restore', database: 'shop', ending, undone: true });
    assert.match(error.hint ?? '', /^make the tablespace "fast" first, or leave tablespaces out: -- --no-tablespaces$/);
  });

  it('is named in the hint of a copy, which can go without it', () => {
    const state = { source: 'shop', user: 'clerk', target: 'shop', undone: true, made: false, errors: 1 };
    const dump = { exitStatus: 0, killedBy: null, lines: [] };
    const error = explainFailedCopy({ dump, restore: ending }, { ...state, failures: [], onlyUnknownSettings: false });
    assert.match(error?.hint ?? '', /^make the tablespace "fast" at the target first, or leave tablespaces out/);
  });
});
