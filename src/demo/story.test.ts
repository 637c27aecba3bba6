import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Story } from './story.ts';

/** A clock that goes half a second further whenever someone looks. */
function clock(): () => Date {
  let ms = 0;
  return () => new Date((ms += 500));
}

test('a step is told as it happens, and remembered', async () => {
  const lines: string[] = [];
  const story = new Story((line) => lines.push(line), clock());
  await story.step('Back up', 'Copy the files.', async () => {
    await story.shell(['pgrecall', 'backup', 'shop'], async () => {
      assert.equal(lines.at(-1), '    $ pgrecall backup shop', 'the command is shown before it runs');
      return Promise.resolve({ exitStatus: 0, output: ['copied'] });
    });
    await story.sql(
      'shop',
      'SELECT 1;',
      async () => Promise.resolve([{ one: 1 }]),
      ([row]) => [String(row?.one)],
    );
  });
  assert.deepEqual(
    lines.map((line) => line.replace(/ {3,}(\d\.\d s)$/, ' … $1')),
    [
      ' 1. Back up',
      '    Copy the files.',
      '',
      '    $ pgrecall backup shop',
      '      copied … 0.5 s',
      '    shop=# SELECT 1;',
      '      1 … 0.5 s',
      '',
    ],
  );
  assert.deepEqual(story.steps, [
    {
      number: 1,
      title: 'Back up',
      why: 'Copy the files.',
      actions: [
        { kind: 'shell', command: 'pgrecall backup shop', output: ['copied'], exitStatus: 0, seconds: 0.5 },
        { kind: 'sql', command: 'SELECT 1;', output: ['1'], exitStatus: null, seconds: 0.5 },
      ],
      seconds: 2.5,
    },
  ]);
});

test('a step that fails is not among those that were done, but known by its name', async () => {
  const story = new Story(() => undefined, clock());
  await assert.rejects(
    story.step('Restore', 'Bring it back.', async () => Promise.reject(new Error('no'))),
    /no/,
  );
  assert.deepEqual(story.steps, []);
  assert.equal(story.currentStep, 'step 1, Restore');
});
