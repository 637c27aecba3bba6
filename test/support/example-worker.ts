import { workerData } from 'node:worker_threads';
import { PgrecallError } from '../../src/errors/pgrecall-error.ts';
import { serve } from '../../src/threads/serve.ts';

/** What the tests of the worker pool have a thread do. */
export type ExampleTask =
  | { readonly do: 'add'; readonly a: number; readonly b: number }
  | { readonly do: 'greet' }
  | { readonly do: 'fail-as-ours' }
  | { readonly do: 'fail-as-system' }
  | { readonly do: 'fail-as-bug' }
  | { readonly do: 'die' }
  | { readonly do: 'never' };

const { greeting } = workerData as { readonly greeting: string };
let greeted = 0;

serve<ExampleTask, unknown>(async (task) => {
  switch (task.do) {
    case 'add':
      return task.a + task.b;
    case 'greet':
      greeted += 1;
      return `${greeting} ${greeted}`;
    case 'fail-as-ours':
      throw new PgrecallError('disk-full', 'no space left', {
        hint: 'free some',
        details: { path: '/backup' },
        cause: new Error('ENOSPC'),
      });
    case 'fail-as-system':
      throw Object.assign(new Error('EIO: i/o error, read'), { syscall: 'read', code: 'EIO' });
    case 'fail-as-bug':
      throw new TypeError('undefined is not a function');
    case 'die':
      return process.exit(1);
    case 'never':
      return new Promise(() => undefined);
  }
});
