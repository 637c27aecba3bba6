import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CommandSite } from '../support/command-site.ts';
import { TestCluster } from '../support/cluster.ts';

interface Init {
  readonly encrypted: boolean;
  readonly passphraseFileMade: boolean;
  readonly next: readonly string[];
  readonly warnings: readonly unknown[];
}

interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

describe('a passphrase that init makes', () => {
  it('encrypts a new repository, and is never made for one that is there', async () => {
    await using server = await TestCluster.create({ major: 15 });
    using site = new CommandSite();
    const file = join(site.directory, 'secrets', 'passphrase');
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository];
    const generating = [...words, '--passphrase-file', file, '--generate-passphrase'];

    const nowhere = site.run([...words, '--generate-passphrase', '--json']);
    assert.deepEqual([nowhere.status, (nowhere.json() as Failed).error.code], [2, 'usage']);
    const hidden = site.run([...generating, '--json'], { env: { PGRECALL_PASSPHRASE: 'another' } });
    assert.match((hidden.json() as Failed).error.hint, /PGRECALL_PASSPHRASE is set/);
    const missing = site.run([...words, '--passphrase-file', file, '--json']);
    assert.match((missing.json() as Failed).error.hint, /--generate-passphrase/);

    const planned = site.run([...generating, '--plan']);
    assert.match(planned.stdout, new RegExp(`^passphrase +${file} +would be made$`, 'm'), planned.stderr);
    assert.equal(existsSync(join(site.directory, 'secrets')), false, 'a plan touches nothing');

    const made = site.run([...generating, '--json']);
    assert.equal(made.status, 0, made.stderr);
    const report = made.json() as Init;
    assert.deepEqual([report.encrypted, report.passphraseFileMade, report.warnings], [true, true, []]);
    assert.match(report.next[0] ?? '', /keep a copy of .*secrets\/passphrase away from this machine/);
    const secret = readFileSync(file, 'utf8');
    assert.match(secret, /^pgrecall-key-[\w-]{43}\n$/);
    assert.equal(made.stdout.includes(secret.trim()), false, 'a secret is never shown');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(file).uid, statSync(site.repository).uid, 'whoever archives can read it');
    assert.deepEqual(readdirSync(join(site.directory, 'secrets')), ['passphrase']);
    assert.match(readFileSync(join(site.repository, 'repository.json'), 'utf8'), /"name": "hkdf-sha256"/);
    assert.equal(site.run(['list', 'main']).status, 0);

    const again = site.run([...generating, '--json']).json() as Init;
    assert.deepEqual([again.encrypted, again.passphraseFileMade], [true, false]);
    assert.equal(readFileSync(file, 'utf8'), secret, 'a file that is there is never replaced');

    rmSync(file);
    const lost = site.run([...generating, '--json']);
    assert.equal(lost.status, 2);
    assert.match((lost.json() as Failed).error.message, /cannot read the passphrase file/);
    assert.equal(existsSync(file), false, 'a new one could not open the repository');
  });

  it('is not written over what is there', async () => {
    await using server = await TestCluster.create({ major: 15 });
    using site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository];
    const file = site.secret('chosen', 'correct horse battery staple\n');
    const chosen = site.run([...words, '--passphrase-file', file, '--generate-passphrase', '--json']);
    assert.equal((chosen.json() as Init).passphraseFileMade, false);
    assert.equal(readFileSync(file, 'utf8'), 'correct horse battery staple\n');
    assert.match(readFileSync(join(site.repository, 'repository.json'), 'utf8'), /"name": "scrypt"/);
  });

  it('needs a directory', async () => {
    await using server = await TestCluster.create({ major: 15 });
    using site = new CommandSite();
    const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository];
    mkdirSync(join(site.directory, 'place'));
    writeFileSync(join(site.directory, 'place', 'file'), '');
    const under = join(site.directory, 'place', 'file', 'passphrase');
    const failed = site.run([...words, '--passphrase-file', under, '--generate-passphrase', '--json']);
    const { error } = failed.json() as Failed;
    assert.deepEqual([failed.status, error.code], [2, 'config-invalid']);
    assert.match(error.message, /cannot make the passphrase file/);
    assert.equal(existsSync(site.repository), false, 'nothing is made that could not be opened');
  });
});
