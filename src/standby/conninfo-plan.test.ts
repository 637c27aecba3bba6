import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { connectionWords } from '../connection/connection-uri.ts';
import { checkSlotName } from '../protocol/replication-command.ts';
import { nameFromDirectory, passfileLine, primaryConninfo } from './conninfo-plan.ts';

const text = fc.string({ minLength: 1, maxLength: 12 }).filter((one) => !one.includes('\0'));

test('libpq reads what was meant, and no password', () => {
  fc.assert(
    fc.property(text, text, text, text, (host, user, password, name) => {
      const words = { user, password, dbname: 'postgres' };
      const conninfo = primaryConninfo({ words, host, port: 5433, user: 'other', name, passfile: undefined });
      const expected = { host, port: '5433', user, application_name: name };
      assert.deepEqual({ ...connectionWords(conninfo) }, expected);
    }),
  );
});

test('several hosts stay, with the role that is wanted', () => {
  const words = { host: 'a,b', port: '1,2', target_session_attrs: 'read-write' };
  assert.equal(
    primaryConninfo({ words, host: 'a', port: 1, user: 'replicator', name: 's1', passfile: '/state/s1.pgpass' }),
    'host=a,b port=1,2 user=replicator target_session_attrs=read-write application_name=s1 passfile=/state/s1.pgpass',
  );
});

test('what a passfile separates by is escaped', () => {
  assert.equal(passfileLine('a:b', 'p\\q:r'), '*:*:*:a\\:b:p\\\\q\\:r\n');
});

test('every directory gives a name that a slot can have', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (cluster, directory) => {
      const name = nameFromDirectory(cluster, `/${directory}`);
      assert.equal(checkSlotName(name), name);
    }),
  );
  assert.equal(nameFromDirectory('main', '/var/lib/Standby-1/'), 'standby_main_standby_1');
});
