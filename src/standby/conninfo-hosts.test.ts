import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectionWords } from '../connection/connection-uri.ts';
import { conninfoTo, hostsOf } from './conninfo-hosts.ts';

describe('where a connection string leads', () => {
  const leads = (text: string): string[] => hostsOf(text).map(({ host, port }) => `${host}:${port}`);

  it('is read whatever else stands there, and in any order', () => {
    assert.deepEqual(leads('host=a port=5433 user=postgres'), ['a:5433']);
    assert.deepEqual(leads("user=u passfile='/var/lib/p f' port='6000' sslcompression=0 host='/run/a b'"), [
      '/run/a b:6000',
    ]);
    assert.deepEqual(leads('host=a,b port=1,2 target_session_attrs=primary'), ['a:1', 'b:2']);
    assert.deepEqual(leads('postgresql://u@a:5433/postgres'), ['a:5433']);
    assert.deepEqual(leads('hostaddr=10.0.0.1 host=name'), ['10.0.0.1:5432']);
  });

  it('is nowhere where it does not say, or cannot be read', () => {
    assert.deepEqual(leads(''), []);
    assert.deepEqual(leads('user=postgres application_name=host'), []);
    assert.deepEqual(leads('host=a port=high'), []);
  });
});

describe('a primary_conninfo that is to lead elsewhere', () => {
  const there = { host: 'b', port: 5433 };

  it('keeps what else it says', () => {
    assert.equal(
      conninfoTo("user=u host='/run/a b' sslcompression=0 port=1 passfile='/p f'", there),
      "host=b port=5433 user=u sslcompression=0 passfile='/p f'",
    );
    assert.equal(conninfoTo('host=a', { host: '/run/a b', port: 1 }), "host='/run/a b' port=1");
  });

  it('becomes words where it is a URI, which nothing can be put before', () => {
    const led = conninfoTo('postgresql://u@a:1,c:2/?application_name=s1&target_session_attrs=primary', there);
    assert.deepEqual(
      { ...connectionWords(led) },
      {
        ...{ user: 'u', host: 'b', port: '5433' },
        ...{ application_name: 's1', target_session_attrs: 'primary' },
      },
    );
  });
});
