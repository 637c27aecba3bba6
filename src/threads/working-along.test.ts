import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ExampleTask } from '../../test/support/example-worker.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { WorkerPool } from './worker-pool.ts';
import { WorkingAlong } from './working-along.ts';

const module = new URL('../../test/support/example-worker.ts', import.meta.url);
const workerData = { greeting: 'hello' };

/** Does what the example worker does, and says that it was here. */
async function here(task: ExampleTask): Promise<unknown> {
  switch (task.do) {
    case 'add':
      return task.a + task.b;
    case 'greet':
      return 'here';
    case 'fail-as-ours':
      throw new PgrecallError('disk-full', 'no space left', { hint: 'free some' });
    case 'fail-as-system':
      throw Object.assign(new Error('EIO: i/o error, read'), { syscall: 'read', code: 'EIO' });
    default:
      throw new TypeError('undefined is not a function');
  }
}

function withOthers(size: number): WorkingAlong<ExampleTask, unknown> {
  return new WorkingAlong(here, new WorkerPool<ExampleTask, unknown>({ module, size, workerData, asNeeded: true }));
}

describe('a thread that works along', () => {
  it('does everything where there are no others', async () => {
    await using work = new WorkingAlong(here);
    assert.deepEqual(await Promise.all([work.run({ do: 'greet' }), work.run({ do: 'add', a: 1, b: 2 })]), ['here', 3]);
  });

  it('does what is alone, and shares what is many', async () => {
    await using work = withOthers(2);
    for (let i = 0; i < 3; i += 1) assert.equal(await work.run({ do: 'greet' }), 'here');
    const answers = await Promise.all(Array.from({ length: 6 }, async () => work.run({ do: 'greet' })));
    assert.deepEqual(answers, ['here', 'here', 'hello 1', 'hello 1', 'hello 2', 'hello 2']);
  });

  it('does one thing at a time, in order, and goes on after a failure', async () => {
    const events: string[] = [];
    await using work = new WorkingAlong(async (name: string) => {
      events.push(`${name} begins`);
      await Promise.resolve();
      if (name === 'b') throw new PgrecallError('io', 'not this one');
      events.push(`${name} ends`);
    });
    const noted = async (name: string): Promise<void> =>
      work.run(name).then(
        () => void events.push(`${name} is known`),
        () => void events.push(`${name} has failed`),
      );
    await Promise.all(['a', 'b', 'c'].map(noted));
    assert.deepEqual(events, [
      'a begins',
      'a ends',
      'a is known',
      'b begins',
      'b has failed',
      'c begins',
      'c ends',
      'c is known',
    ]);
  });

  it('fails as a thread does', async () => {
    await using alone = new WorkingAlong(here);
    await using pool = new WorkerPool<ExampleTask, unknown>({ module, size: 1, workerData });
    for (const what of ['fail-as-ours', 'fail-as-system', 'fail-as-bug'] as const) {
      const failure = async (run: Promise<unknown>): Promise<unknown> => run.catch((error: unknown) => error);
      const [own, other] = [await failure(alone.run({ do: what })), await failure(pool.run({ do: what }))];
      assert.ok(own instanceof Error && other instanceof Error);
      assert.equal(own.message, other.message);
      assert.equal(own instanceof PgrecallError && own.code, other instanceof PgrecallError && other.code, what);
    }
    assert.ok(hasCode(await alone.run({ do: 'fail-as-system' }).catch((error: unknown) => error), 'io'));
  });
});
