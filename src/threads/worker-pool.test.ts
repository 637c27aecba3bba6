import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExampleTask } from '../../test/support/example-worker.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { WorkerPool, workerModule } from './worker-pool.ts';

const module = new URL('../../test/support/example-worker.ts', import.meta.url);

function pool(size: number): WorkerPool<ExampleTask, unknown> {
  return new WorkerPool({ module, size, workerData: { greeting: 'hello' } });
}

test('each task gets its own answer, whichever thread does it', async () => {
  await using workers = pool(2);
  const sums = await Promise.all(Array.from({ length: 50 }, async (_, i) => workers.run({ do: 'add', a: i, b: 1000 })));
  assert.deepEqual(
    sums,
    Array.from({ length: 50 }, (_, i) => i + 1000),
  );
});

test('every thread is asked once, and has what it was started with', async () => {
  await using workers = pool(3);
  assert.deepEqual(await workers.runOnEach({ do: 'greet' }), ['hello 1', 'hello 1', 'hello 1']);
});

test('threads are started as there is work for them, where that is asked for', async () => {
  await using workers = new WorkerPool<ExampleTask, unknown>({
    module,
    size: 2,
    workerData: { greeting: 'hello' },
    asNeeded: true,
    busyAt: 2,
  });
  assert.deepEqual(await workers.runOnEach({ do: 'greet' }), []);
  assert.equal(await workers.run({ do: 'add', a: 1, b: 2 }), 3);
  assert.equal(await workers.run({ do: 'add', a: 1, b: 2 }), 3);
  assert.equal((await workers.runOnEach({ do: 'greet' })).length, 1, 'one did both, one after the other');
  const threads = async (tasks: number): Promise<number> => {
    await Promise.all(Array.from({ length: tasks }, async (_, b) => workers.run({ do: 'add', a: 1, b })));
    return (await workers.runOnEach({ do: 'greet' })).length;
  };
  assert.equal(await threads(2), 1);
  assert.equal(await threads(3), 2);
  assert.equal(await threads(9), 2);
});

test('an error keeps its class, code, hint, details and cause', async () => {
  await using workers = pool(1);
  await assert.rejects(workers.run({ do: 'fail-as-ours' }), (error) => {
    assert.ok(error instanceof PgrecallError);
    assert.equal(error.code, 'disk-full');
    assert.equal(error.message, 'no space left');
    assert.equal(error.hint, 'free some');
    assert.deepEqual(error.details, { path: '/backup' });
    assert.equal((error.cause as Error).message, 'ENOSPC');
    return true;
  });
  await assert.rejects(workers.run({ do: 'fail-as-system' }), (error) => hasCode(error, 'io'));
  await assert.rejects(workers.run({ do: 'fail-as-bug' }), (error) => {
    assert.ok(error instanceof Error && !(error instanceof PgrecallError));
    assert.match(error.stack ?? '', /example-worker/);
    return true;
  });
  assert.equal(await workers.run({ do: 'add', a: 1, b: 2 }), 3, 'a failed task leaves the thread as it was');
});

test('a thread that dies fails the tasks that wait for it, and those that come later', async () => {
  await using workers = pool(1);
  const waiting = [workers.run({ do: 'die' }), workers.run({ do: 'greet' })];
  for (const task of waiting) await assert.rejects(task, (error) => hasCode(error, 'bug'));
  await assert.rejects(workers.run({ do: 'greet' }), /ended before its work was done/);
});

test('a thread that cannot start fails its tasks', async () => {
  await using workers = new WorkerPool<ExampleTask, unknown>({
    module: new URL('./absent-worker.ts', import.meta.url),
    size: 1,
    workerData: {},
  });
  await assert.rejects(workers.run({ do: 'greet' }), /absent-worker/);
});

test('closing ends what never would', async () => {
  const workers = pool(2);
  const waiting = workers.run({ do: 'never' });
  const rejected = assert.rejects(waiting, (error) => hasCode(error, 'bug'));
  await workers.close();
  await rejected;
});

test('a worker’s module has the extension of the module beside it', () => {
  assert.equal(workerModule('copy-worker', 'file:///a/src/copying.ts').href, 'file:///a/src/copy-worker.ts');
  assert.equal(workerModule('copy-worker', 'file:///a/dist/copying.js').href, 'file:///a/dist/copy-worker.js');
});
