import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors/pgrecall-error.ts';
import { connectionCandidates, connectionOptions, connectionTo, holdsPassword } from './connection-uri.ts';

const read = (text: string, env: NodeJS.ProcessEnv = {}) => connectionOptions(text, env);

describe('a connection', () => {
  it('is a URI as libpq takes it', () => {
    for (const [text, expected] of [
      ['postgresql://backup@db.example:5433/app', { host: 'db.example', port: 5433, user: 'backup', database: 'app' }],
      ['postgres://u:p%40ss@h/d', { host: 'h', port: 5432, user: 'u', password: 'p@ss', database: 'd' }],
      [
        'postgresql:///postgres?host=/run/pg&port=6000&user=u',
        { host: '/run/pg', port: 6000, user: 'u', database: 'postgres' },
      ],
      ['postgresql:///app?host=%2Frun%2Fpg&user=u', { host: '/run/pg', port: 5432, user: 'u', database: 'app' }],
      ['postgresql://%2Frun%2Fpg/app?user=u', { host: '/run/pg', port: 5432, user: 'u', database: 'app' }],
      ['postgresql://u@[::1]:5/d', { host: '::1', port: 5, user: 'u', database: 'd' }],
      ['postgresql://u@h/d?dbname=e&application_name=x', { host: 'h', port: 5432, user: 'u', database: 'e' }],
      [
        'postgresql://u@h?password=a+b%26c',
        { host: 'h', port: 5432, user: 'u', password: 'a+b&c', database: 'postgres' },
      ],
    ] as const) {
      assert.deepEqual(read(text), expected, text);
    }
  });

  it('is key=value words as libpq takes them', () => {
    for (const [text, expected] of [
      ['host=h user=u', { host: 'h', port: 5432, user: 'u', database: 'postgres' }],
      [" host = h  port=5433 user='a b' dbname='it\\'s' ", { host: 'h', port: 5433, user: 'a b', database: "it's" }],
      ['host=name hostaddr=10.0.0.7 user=u', { host: '10.0.0.7', port: 5432, user: 'u', database: 'postgres' }],
      ["host=h user=u password=''", { host: 'h', port: 5432, user: 'u', database: 'postgres' }],
    ] as const) {
      assert.deepEqual(read(text), expected, text);
    }
  });

  it('takes what is missing from the environment', () => {
    const env = { PGHOST: 'h', PGPORT: '7', PGUSER: 'u', PGDATABASE: 'd' };
    assert.deepEqual(read('', env), { host: 'h', port: 7, user: 'u', database: 'd' });
    assert.equal(read('host=h').user, userInfo().username);
    assert.deepEqual(read('host=a port=1 user=b dbname=c', env), { host: 'a', port: 1, user: 'b', database: 'c' });
  });

  it('names several hosts as libpq takes them', () => {
    const candidates = (text: string, env: NodeJS.ProcessEnv = {}): unknown => {
      const { hosts, wanted } = connectionCandidates(text, env);
      return [hosts.map(({ host, port }) => `${host}:${port}`).join(' '), wanted];
    };
    for (const [text, expected] of [
      ['postgresql://u:p@a:1,b:2,c/d?target_session_attrs=read-write', ['a:1 b:2 c:5432', 'read-write']],
      ['postgresql://a,[::1]:7/d', ['a:5432 ::1:7', 'any']],
      ['postgresql://%2Frun%2Fpg,b/d', ['/run/pg:5432 b:5432', 'any']],
      ['postgresql:///d?host=a,b&port=6&target_session_attrs=standby', ['a:6 b:6', 'standby']],
      ['host=a,b,c port=1,2,3 target_session_attrs=prefer-standby', ['a:1 b:2 c:3', 'prefer-standby']],
      ['host=a,b hostaddr=10.0.0.1,10.0.0.2', ['10.0.0.1:5432 10.0.0.2:5432', 'any']],
      ['host=a,b port=1,', ['a:1 b:5432', 'any']],
    ] as const) {
      assert.deepEqual(candidates(text), expected, text);
    }
    const env = { PGHOST: 'a,b', PGPORT: '1,2', PGTARGETSESSIONATTRS: 'primary' };
    assert.deepEqual(candidates('user=u', env), ['a:1 b:2', 'primary']);
    const { user, password, database } = connectionOptions('postgresql://u:p@a:1,b:2/d', {});
    assert.deepEqual({ user, password, database }, { user: 'u', password: 'p', database: 'd' });
    assert.deepEqual(connectionOptions('postgresql://u:p@a:1,b:2/d', {}), {
      host: 'a',
      port: 1,
      user: 'u',
      password: 'p',
      database: 'd',
    });
  });

  it('leads to one server of several when that is named', () => {
    const one = connectionTo(
      "host=a,b hostaddr=10.0.0.1,10.0.0.2 user=u password='it\\'s' dbname='a b' target_session_attrs=read-write",
      { host: '/run/p g', port: 7 },
    );
    assert.deepEqual(connectionCandidates(one, {}), {
      hosts: [{ host: '/run/p g', port: 7, user: 'u', password: "it's", database: 'a b' }],
      wanted: 'any',
    });
  });

  it('asks for TLS as sslmode says, and never over a socket', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'pgrecall-tls-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, 'the authority');
    assert.equal(read('host=h user=u').ssl, undefined);
    assert.equal(read('host=h sslmode=disable').ssl, undefined);
    assert.deepEqual(read('host=h sslmode=require').ssl, { rejectUnauthorized: false });
    assert.deepEqual(read(`host=h sslmode=require sslrootcert=${ca}`).ssl, {
      rejectUnauthorized: true,
      ca: 'the authority',
    });
    assert.deepEqual(read('host=h', { PGSSLMODE: 'verify-full' }).ssl, { rejectUnauthorized: true });
    assert.equal(read('host=/run/pg sslmode=verify-full').ssl, undefined);
  });

  it('is refused where it might lead elsewhere than meant, without being repeated', () => {
    for (const text of [
      'postgresql://u:s3cret@h:port/d',
      'postgresql://u:s3cret@a:1,b:2,c:x/d',
      'host=a,b port=1,2,3 password=s3cret',
      'host=a,b hostaddr=10.0.0.1 password=s3cret',
      'host=a,b target_session_attrs=leader password=s3cret',
      'host=h port=0 password=s3cret',
      'host=h port=70000',
      'host=h sslmode=always password=s3cret',
      'host=h sslrootcert=/nowhere/ca.pem sslmode=verify-ca',
      'service=s3cret',
      'postgresql://h/d?service=s3cret',
      'db.example s3cret',
      "host='h s3cret",
    ]) {
      assert.throws(
        () => read(text),
        (error) => {
          assert.ok(hasCode(error, 'config-invalid'), text);
          assert.ok(!JSON.stringify([error.message, error.hint, error.details]).includes('s3cret'), text);
          return true;
        },
        text,
      );
    }
  });

  it('brings back whatever is percent-encoded or quoted', () => {
    const word = fc.string({ minLength: 1 }).filter((text) => text.trim() === text && !text.includes(','));
    fc.assert(
      fc.property(word, word, (user, password) => {
        const uri = `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h/d`;
        assert.deepEqual(read(uri), { host: 'h', port: 5432, user, password, database: 'd' });
        const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
        const words = `host=h user=${quoted(user)} password=${quoted(password)} dbname=d`;
        assert.deepEqual(read(words), { host: 'h', port: 5432, user, password, database: 'd' });
      }),
    );
  });

  it('is known to hold a password', () => {
    for (const text of [
      'postgresql://u:p@h/d',
      'postgresql://h/d?password=p',
      'host=h password=p',
      'postgresql://u:p@a,b/d',
    ]) {
      assert.ok(holdsPassword(text), text);
    }
    for (const text of ['postgresql://u@h:5432/d', 'host=h user=u', 'postgresql:///d?host=/run/pg', '']) {
      assert.ok(!holdsPassword(text), text);
    }
  });
});
