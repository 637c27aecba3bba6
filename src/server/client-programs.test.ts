import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { hasCode } from '../errors/pgrecall-error.ts';
import { findClientPrograms, type ClientPrograms } from './client-programs.ts';

/* Made-up installations: a pg_dump that only says its version. */

describe('the client programs', () => {
  const root = mkdtempSync(join(tmpdir(), 'pgrecall-clients-'));
  after(() => rmSync(root, { recursive: true }));

  const install = (directory: string, version: string): string => {
    const bin = join(root, directory);
    mkdirSync(bin, { recursive: true });
    const program = join(bin, 'pg_dump');
    writeFileSync(program, `#!/bin/sh\necho "pg_dump (PostgreSQL) ${version} (Debian)"\necho x >>'${root}/asked'\n`);
    chmodSync(program, 0o755);
    return bin;
  };
  const old = install('packages/14/bin', '14.20');
  const middle = install('packages/15/bin', '15.18');
  const newest = install('packages/17/bin', '17.5');
  install('packages/other/bin', '18.0');
  install('packages/9/bin', '9.6.24');
  const ownPath = install('own', '16.2');
  const find = async (serverMajor: number, more: { pgBin?: string; path?: string } = {}): Promise<ClientPrograms> =>
    findClientPrograms({
      serverMajor,
      packaged: [join(root, 'packages')],
      env: { PATH: more.path ?? `/nowhere:${ownPath}` },
      pgBin: more.pgBin,
    });

  it('are the newest that are not older than the server', async () => {
    assert.deepEqual(
      [await find(14), await find(17)].map(({ binDirectory, version }) => [binDirectory, version]),
      [
        [newest, '17.5'],
        [newest, '17.5'],
      ],
    );
  });

  it('are those that pg_bin names, where they fit, and others where they do not', async () => {
    assert.equal((await find(15, { pgBin: middle })).version, '15.18');
    assert.equal((await find(15, { pgBin: old })).version, '17.5');
    assert.equal((await find(15, { pgBin: join(root, 'nothing') })).version, '17.5');
  });

  it('are found on the search path, and a directory of two names is asked once', async () => {
    const own = install('apart', '18.1');
    symlinkSync(own, join(root, 'the same'));
    rmSync(join(root, 'asked'), { force: true });
    const programs = await find(18, { path: `${join(root, 'the same')}:${own}` });
    assert.equal(programs.version, '18.1');
    // Four that packages put there, and this one.
    assert.equal(readFileSync(join(root, 'asked'), 'utf8').length / 2, 5);
    assert.equal(programs.psql, join(root, 'the same', 'psql'));
  });

  it('that are all older than the server: what there is is named, and what to install', async () => {
    await assert.rejects(find(19), (error) => {
      assert.ok(hasCode(error, 'server-program-missing'));
      assert.match(error.message, /server is PostgreSQL 19, and every pg_dump that was found is older: .*17\.5 in/);
      assert.match(error.hint ?? '', /apt-get install postgresql-client-19/);
      return true;
    });
  });

  it('that are nowhere: where was looked is said', async () => {
    const nothing = findClientPrograms({
      serverMajor: 15,
      packaged: [join(root, 'nothing')],
      env: { PATH: '/nowhere' },
    });
    await assert.rejects(
      nothing,
      (error) => hasCode(error, 'server-program-missing') && /found no pg_dump/.test(error.message),
    );
  });
});
