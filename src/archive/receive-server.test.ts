import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serverRefusal } from '../connection/server-refusal.ts';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import { lsn } from '../postgres/lsn.ts';
import { explainRefusal, isPassing } from './receive-server.ts';

const refused = (sqlState: string, message: string): PgrecallError =>
  serverRefusal({ severity: 'ERROR', sqlState, message, detail: undefined, hint: undefined }, 'START_REPLICATION');

const explain = (sqlState: string, message = 'no'): unknown =>
  explainRefusal(refused(sqlState, message), 'a_slot', lsn(0x300n));

describe('when the server will not stream', () => {
  it('calls WAL that it no longer has a gap, says where it begins, and does not try again', () => {
    const error = explain('58P01', 'requested WAL segment 000000010000000000000003 has already been removed');
    assert.ok(hasCode(error, 'wal-gap'));
    assert.equal(error.exitStatus, 3);
    assert.equal(error.details['fromLsn'], '0/300');
    assert.equal(isPassing(error), false);
  });

  it('waits for a slot that is in use, but not for one that has lost its WAL', () => {
    const inUse = explain('55006', 'replication slot "a_slot" is active for PID 7');
    assert.ok(hasCode(inUse, 'slot'));
    assert.equal(isPassing(inUse), true);
    const lost = explain('55000', 'cannot read from replication slot "a_slot"');
    assert.ok(hasCode(lost, 'slot'));
    assert.match(lost.hint ?? '', /pg_drop_replication_slot\('a_slot'\)/);
    assert.equal(isPassing(lost), false);
  });

  it('waits for a standby that is behind us', () => {
    assert.equal(
      isPassing(explain('XX000', 'requested starting point 0/9 is ahead of the WAL flush position of this server 0/8')),
      true,
    );
  });

  it('tries again after what passes, and not after what does not', () => {
    const passing = ['connection', 'storage', 'disk-full', 'io'] as const;
    const lasting = ['wal-other-cluster', 'wal-other-content', 'wal-gap', 'server-rights', 'usage', 'bug'] as const;
    for (const code of passing) assert.equal(isPassing(new PgrecallError(code, '')), true, code);
    for (const code of lasting) assert.equal(isPassing(new PgrecallError(code, '')), false, code);
    assert.equal(isPassing(refused('57P01', 'terminating connection due to administrator command')), true);
    assert.equal(isPassing(new TypeError('x')), false);
    assert.equal(isPassing(Object.assign(new Error('EIO'), { syscall: 'write' })), true);
  });
});
