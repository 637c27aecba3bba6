import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import { chooseHost, type HostSession } from './choose-host.ts';
import { connectionCandidates, type TargetAttributes } from './connection-uri.ts';

type State = 'primary' | 'standby' | 'read-only' | 'down' | 'refuses';

/** Servers by the name of their host; what was connected to, and what of that was closed. */
function network(states: Readonly<Record<string, State>>): {
  readonly tried: string[];
  readonly closed: string[];
  readonly choose: (wanted: TargetAttributes) => Promise<string>;
} {
  const tried: string[] = [];
  const closed: string[] = [];
  const choose = async (wanted: TargetAttributes): Promise<string> => {
    const text = `host=${Object.keys(states).join(',')} user=u target_session_attrs=${wanted}`;
    const session = await chooseHost(connectionCandidates(text, {}), async ({ host }) => {
      tried.push(host);
      const state = states[host];
      if (state === 'down') throw new PgrecallError('connection', `${host} is down`);
      if (state === 'refuses')
        throw new PgrecallError('connection', 'wrong password', { details: { reason: '28P01' } });
      const role = { inRecovery: state === 'standby', readOnly: state === 'read-only' };
      return Promise.resolve<HostSession & { host: string }>({ host, role, close: () => void closed.push(host) });
    });
    return session.host;
  };
  return { tried, closed, choose };
}

describe('a choice of several hosts', () => {
  it('is the first that has the wanted role', async () => {
    const states = { a: 'down', b: 'standby', c: 'read-only', d: 'primary', e: 'standby' } as const;
    for (const [wanted, expected] of [
      ['any', 'b'],
      ['standby', 'b'],
      ['prefer-standby', 'b'],
      ['read-only', 'b'],
      ['primary', 'c'],
      ['read-write', 'd'],
    ] as const) {
      assert.equal(await network(states).choose(wanted), expected, wanted);
    }
  });

  it('prefers a standby, and takes what there is where there is none', async () => {
    const { choose, tried, closed } = network({ a: 'primary', b: 'down' });
    assert.equal(await choose('prefer-standby'), 'a');
    assert.deepEqual(tried, ['a', 'b', 'a']);
    assert.deepEqual(closed, ['a'], 'the first time');
  });

  it('leaves no session behind with those that it does not take, and says what they are', async () => {
    const { choose, closed } = network({ a: 'standby', b: 'down', c: 'standby' });
    await assert.rejects(choose('read-write'), (error) => {
      assert.ok(hasCode(error, 'connection'));
      assert.equal(
        error.message,
        'none of a:5432, b:5432, c:5432 is what target_session_attrs=read-write wants: a:5432 is a standby; b is down; c:5432 is a standby',
      );
      return true;
    });
    assert.deepEqual(closed, ['a', 'c']);
  });

  it('ends where a host refuses the user', async () => {
    const { choose, tried } = network({ a: 'standby', b: 'refuses', c: 'primary' });
    await assert.rejects(choose('primary'), /wrong password/);
    assert.deepEqual(tried, ['a', 'b']);
  });

  it('says of a single host that is down why it is', async () => {
    await assert.rejects(network({ a: 'down' }).choose('any'), /^.*a is down$/);
  });
});
