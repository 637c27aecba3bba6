import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasCode, type PgrecallError } from '../errors/pgrecall-error.ts';
import { findPrograms } from './programs.ts';

const root = mkdtempSync(join(tmpdir(), 'pgr-programs-'));
after(() => rmSync(root, { recursive: true }));

/** A directory of programs that say they are of a version. */
function pretend(
  name: string,
  version: string,
  programs: readonly string[] = ['postgres', 'pg_ctl', 'initdb'],
): string {
  const directory = join(root, name);
  mkdirSync(directory);
  for (const program of programs) {
    const path = join(directory, program);
    writeFileSync(path, `#!/bin/sh\necho '${program} (PostgreSQL) ${version}'\n`);
    chmodSync(path, 0o755);
  }
  return directory;
}

async function missing(options: Parameters<typeof findPrograms>[0]): Promise<PgrecallError> {
  try {
    await findPrograms(options);
  } catch (error) {
    assert.ok(hasCode(error, 'server-program-missing'), String(error));
    return error;
  }
  return assert.fail('found them');
}

describe('the programs of PostgreSQL', () => {
  for (const major of [14, 15, 16, 17, 18]) {
    it(`are found for ${major} without a configuration`, async () => {
      const programs = await findPrograms({ major, env: {} });
      assert.equal(programs.major, major);
      for (const path of [programs.postgres, programs.pgCtl, programs.initdb]) assert.ok(existsSync(path), path);
    });
  }

  it('are those of pg_bin where that is configured', async () => {
    const pgBin = pretend('configured', '15.4');
    const { binDirectory } = await findPrograms({ major: 15, env: {}, pgBin });
    assert.equal(binDirectory, pgBin);
  });

  it('are not taken from a pg_bin of another version, and the error says which', async () => {
    const error = await missing({ major: 15, env: {}, pgBin: pretend('other', '14.11 (Debian 14.11-1)') });
    assert.match(error.message, /holds PostgreSQL 14, but the cluster is of 15/);
    assert.match(error.hint ?? '', /set pg_bin to the directory of PostgreSQL 15/);
  });

  it('are missing where pg_bin does not hold all of them', async () => {
    const error = await missing({ major: 15, env: {}, pgBin: pretend('half', '15.4', ['postgres']) });
    assert.match(error.message, /half" does not hold postgres and pg_ctl/);
  });

  it('are missing where the program of pg_bin cannot be run', async () => {
    const pgBin = pretend('broken', '15.4');
    writeFileSync(join(pgBin, 'postgres'), '#!/nonexistent\n');
    const error = await missing({ major: 15, env: {}, pgBin });
    assert.match(error.message, /PostgreSQL of unknown version/);
  });

  it('are found on the search path, in the first directory of the right version', async () => {
    const env = { PATH: ['', pretend('path-12', '12.1'), '/nonexistent', pretend('path-13', '13.9')].join(':') };
    const { binDirectory } = await findPrograms({ major: 13, env });
    assert.equal(binDirectory, join(root, 'path-13'));
  });

  it('that are missing are named, with where they were looked for and how to install them', async () => {
    const error = await missing({ major: 11, env: { PATH: pretend('path-10', '10.1') } });
    assert.match(error.message, /no PostgreSQL 11: .*\/usr\/lib\/postgresql\/11\/bin.*path-10 \(PostgreSQL 10\)/);
    assert.match(error.hint ?? '', /apt-get install postgresql-11/);
    assert.equal(error.details['major'], 11);
  });
});
