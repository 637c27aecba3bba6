import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { warnOfOptions } from './dump-warnings.ts';

describe('a dump warns', () => {
  const facts = { major: 15 };
  const programs = { major: 18, version: '18.0' };
  const selection = { options: ['--no-owner', '--no-comments', '--no-tablespaces'] };

  it('of options that do nothing in its format', () => {
    const [warning, ...others] = warnOfOptions({ format: 'custom', selection, programs, facts });
    assert.match(warning ?? '', /^--no-owner --no-tablespaces: without effect in the format custom/);
    assert.deepEqual(others, []);
  });

  it('of a script of a newer pg_dump, which the server that it comes from may refuse', () => {
    const [warning, ...others] = warnOfOptions({ format: 'plain', selection, programs, facts });
    assert.match(warning ?? '', /of pg_dump 18\.0: a server of PostgreSQL 15 may not know/);
    assert.deepEqual(others, []);
    assert.deepEqual(
      warnOfOptions({ format: 'plain', selection, programs: { major: 15, version: '15.18' }, facts }),
      [],
    );
  });
});
