import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastingEnvironment } from './lasting-environment.ts';

test('a server that is started again later has what it needs of its environment, and no file has its secrets', () => {
  const needed = {
    PATH: '/usr/bin',
    LC_ALL: 'C.UTF-8',
    TZ: 'Asia/Seoul',
    LD_LIBRARY_PATH: '/opt/pg/lib',
    PGDATA: '/data',
    PGPASSFILE: '/etc/pgpass',
    PGRECALL_CONFIG: '/etc/pgrecall.toml',
  };
  const secret = {
    PGPASSWORD: 'x',
    PGSSLPASSWORD: 'x',
    PGRECALL_PASSPHRASE: 'x',
    PGRECALL_CONNECTION: 'postgresql://me:x@db/postgres',
    PGRECALL_OTHER: 'host=db password=x',
    AWS_SECRET_ACCESS_KEY: 'x',
    UNKNOWN: 'x',
  };
  const found = lastingEnvironment({ ...needed, ...secret, SHLVL: '1', SSH_CLIENT: 'x' });
  assert.deepEqual(found.env, needed);
  assert.deepEqual(found.leftOut, Object.keys(secret).toSorted());
});
