import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { CliContext } from './context.ts';
import { readInitConfig } from './init-answers.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgrecall-answers-'));
after(() => rmSync(directory, { recursive: true }));

/** Somebody at a terminal, who gives these answers, and takes what is suggested after them. */
function terminal(answers: readonly string[]): { readonly context: CliContext; readonly questions: string[] } {
  const questions: string[] = [];
  const rest = [...answers];
  const ask = async (question: string, suggestion = ''): Promise<string> => {
    questions.push(question);
    return rest.shift() ?? suggestion;
  };
  const configuration = { file: join(directory, 'pgrecall.toml'), env: {}, cwd: directory, home: directory, flags: {} };
  const context: Partial<CliContext> = { ask, env: {}, cwd: directory, configuration };
  return { context: context as CliContext, questions };
}

describe('init on a terminal', () => {
  it('offers to make the passphrase file that is named and missing', async () => {
    const { context, questions } = terminal(['postgresql:///', '/backup', 'passphrase']);
    const answers = await readInitConfig('main', {}, context);
    assert.match(questions.at(-1) ?? '', /passphrase" does not exist; make it/);
    assert.equal(answers.makesPassphrase, true, 'the suggestion is to make it');
    assert.deepEqual(answers.cluster.passphraseSource, { kind: 'file', path: join(directory, 'passphrase') });
  });

  it('makes none where that is declined', async () => {
    const { context } = terminal(['postgresql:///', '/backup', 'passphrase', 'no']);
    assert.equal((await readInitConfig('main', {}, context)).makesPassphrase, false);
  });

  it('does not ask about a file that is there, nor where nothing is to be encrypted', async () => {
    writeFileSync(join(directory, 'there'), 'a secret\n');
    for (const file of ['there', '']) {
      const { context, questions } = terminal(['postgresql:///', '/backup', file]);
      assert.equal((await readInitConfig('main', {}, context)).makesPassphrase, false);
      assert.equal(questions.length, 3);
    }
  });
});
