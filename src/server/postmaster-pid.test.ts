import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestCluster } from '../../test/support/cluster.ts';
import { parsePostmasterPid, readPostmasterPid } from './postmaster-pid.ts';

/* cat /var/lib/postgresql/15/main/postmaster.pid of a Debian server */
const debian =
  '1234\n/var/lib/postgresql/15/main\n1790000000\n5432\n/var/run/postgresql\nlocalhost\n   918277    131072\nready   \n';

describe('postmaster.pid', () => {
  it('says where a server is reached', () => {
    assert.deepEqual(parsePostmasterPid(debian, '/given'), {
      pid: 1234,
      dataDirectory: '/var/lib/postgresql/15/main',
      startedAt: 1_790_000_000,
      port: 5432,
      socketDirectory: '/var/run/postgresql',
      listenAddress: 'localhost',
      sharedMemory: { key: 918_277, id: 131_072 },
      status: 'ready',
    });
  });

  it('has empty lines for what the server does not have', () => {
    const found = parsePostmasterPid('77\n/데이터\n1790000000\n5433\n\n\n   1    2\nstandby \n', '/given');
    assert.equal(found?.socketDirectory, undefined);
    assert.equal(found?.listenAddress, undefined);
    assert.equal(found?.dataDirectory, '/데이터');
    assert.equal(found?.status, 'standby');
  });

  it('tells a single-user backend', () => {
    assert.equal(parsePostmasterPid('-77\n/data\n1790000000\n5433\n\n', '/data')?.pid, -77);
  });

  it('never yields half a process id, wherever it is cut', () => {
    for (let length = 0; length < debian.length; length += 1) {
      const found = parsePostmasterPid(debian.slice(0, length), '/given');
      assert.equal(found?.pid, length > debian.indexOf('\n') ? 1234 : undefined, `cut at ${length}`);
    }
  });

  for (const text of ['', '\n', 'abc\n', '0\n', '-\n', '12345678901\n', '1 2\n']) {
    it(`is not read from ${JSON.stringify(text)}`, () => {
      assert.equal(parsePostmasterPid(text, '/given'), undefined);
    });
  }

  it('is not there where no server is', () => {
    assert.equal(readPostmasterPid('/nonexistent'), undefined);
  });

  for (const major of [15, 18] as const) {
    it(`is read from a server of ${major}`, async () => {
      await using cluster = await TestCluster.create({ major });
      const { pid, startedAt, sharedMemory, ...rest } =
        readPostmasterPid(cluster.dataDirectory) ?? assert.fail('no postmaster.pid');
      assert.ok(pid > 1);
      assert.ok(Math.abs(startedAt - Date.now() / 1000) < 3600);
      assert.ok(sharedMemory);
      assert.deepEqual(rest, {
        dataDirectory: cluster.dataDirectory,
        port: cluster.port,
        socketDirectory: cluster.socketDirectory,
        listenAddress: undefined,
        status: 'ready',
      });
    });
  }
});
