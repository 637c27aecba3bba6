import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { readPassphrase } from './passphrase.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgrecall-passphrase-'));
after(() => rmSync(directory, { recursive: true }));
const fileOf = (name: string, content: string): string => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};

test('a passphrase comes from the environment, a file or a command; the newline at its end is not part of it', async () => {
  assert.equal(await readPassphrase({ kind: 'none' }), undefined);
  assert.equal(await readPassphrase({ kind: 'environment', text: 'open sesame' }), 'open sesame');
  for (const [content, passphrase] of [
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    ['secret', 'secret'],
    [' two words \n', ' two words '],
    ['one\n\n', 'one\n'],
  ] as const) {
    assert.equal(await readPassphrase({ kind: 'file', path: fileOf('passphrase', content) }), passphrase);
  }
  assert.equal(await readPassphrase({ kind: 'command', command: 'echo "from $((1 + 1)) keys"' }), 'from 2 keys');
});

test('an empty passphrase is a mistake, not an unencrypted repository', async () => {
  const sources = [
    { kind: 'file', path: fileOf('empty', '\n') },
    { kind: 'command', command: 'true' },
  ] as const;
  for (const source of sources) {
    await assert.rejects(readPassphrase(source), (error) => hasCode(error, 'config-invalid'));
  }
});

test('a file that is not there comes with a way to make it', async () => {
  const path = join(directory, 'absent');
  await assert.rejects(readPassphrase({ kind: 'file', path }), (error) => {
    assert.ok(hasCode(error, 'config-invalid'));
    assert.match(error.hint ?? '', /--generate-passphrase makes one for a new repository; of one that is there/);
    return true;
  });
});

test('a command that fails is reported with what it said, without itself', async () => {
  const command = 'echo "vault is sealed" >&2; : token=s3cr3t; exit 7';
  await assert.rejects(readPassphrase({ kind: 'command', command }), (error) => {
    assert.ok(error instanceof PgrecallError);
    assert.equal(error.message, 'passphrase_command ended with status 7: vault is sealed');
    assert.ok(!JSON.stringify([error.message, error.hint, error.details, String(error.cause)]).includes('s3cr3t'));
    return true;
  });
});
