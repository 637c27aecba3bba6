import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hostsOf } from './conninfo-hosts.ts';

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
