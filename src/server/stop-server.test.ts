import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestCluster } from '../../test/support/cluster.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { isServerRunning } from './running.ts';
import { stopServer } from './stop-server.ts';

for (const major of [15, 18] as const) {
  describe(`stopping a server of ${major}`, () => {
    for (const mode of ['smart', 'fast', 'immediate'] as const) {
      it(`is done when the process is gone (${mode})`, async () => {
        await using cluster = await TestCluster.create({ major });
        const { programs, dataDirectory } = cluster;
        await stopServer({ programs, dataDirectory, mode, timeoutMs: 30_000 });
        assert.ok(!isServerRunning(dataDirectory));
        const expected = mode === 'immediate' ? /received immediate shutdown request/ : /database system is shut down/;
        assert.match(cluster.log(), expected);
        await stopServer({ programs, dataDirectory, mode, timeoutMs: 0 });
      });
    }

    it('says so when clients keep it up', async () => {
      await using cluster = await TestCluster.create({ major });
      const { programs, dataDirectory } = cluster;
      const session = await cluster.session();
      await assert.rejects(stopServer({ programs, dataDirectory, mode: 'smart', timeoutMs: 200 }), (error) => {
        assert.ok(hasCode(error, 'server-stop'), String(error));
        assert.match(error.message, /still running 0\.2 s after it was asked to stop/);
        return true;
      });
      await session.close();
      await stopServer({ programs, dataDirectory, mode: 'fast', timeoutMs: 30_000 });
    });

    it('says why pg_ctl could not', async () => {
      await using cluster = await TestCluster.create({ major });
      const { dataDirectory } = cluster;
      const programs = { ...cluster.programs, pgCtl: 'false' };
      await assert.rejects(stopServer({ programs, dataDirectory, mode: 'fast', timeoutMs: 1000 }), (error) =>
        hasCode(error, 'server-stop'),
      );
      assert.ok(isServerRunning(dataDirectory));
    });
  });
}
