import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countingBytes, noon, quickCost, testRepository } from '../../test/support/test-repository.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { isGeneratedSecret, newSecret } from './generated-secret.ts';
import { encodeRepositoryDocument, readRepositoryDocument, repositoryKey } from './repository-document.ts';
import { openRepository } from './repository.ts';

const passphrase = 'correct horse battery staple';

/** Opens a repository in whose first key slot the parameters of the derivation are others. */
async function openWith(changes: Readonly<Record<string, unknown>>, secret = passphrase): Promise<unknown> {
  const storage = new MemoryStorage();
  await testRepository({ storage, passphrase: secret });
  const document = await readRepositoryDocument(storage);
  const [slot] = document.encryption?.slots ?? [];
  assert.ok(slot && document.encryption);
  const slots = [{ ...slot, kdf: { ...slot.kdf, ...changes } }];
  const encryption = { ...document.encryption, slots };
  await storage.put(repositoryKey, encodeRepositoryDocument({ ...document, encryption }), { replace: true });
  return openRepository(storage, { passphrase: secret });
}

async function kdfsOf(storage: MemoryStorage): Promise<string[]> {
  const { encryption } = await readRepositoryDocument(storage);
  return (encryption?.slots ?? []).map(({ kdf }) => kdf.name);
}

describe('a key slot whose key is derived', () => {
  for (const N of [0, 1, 3, 17, 131_071, 131_072.5, 1_048_575, 2_097_152, 2 ** 60, -2, '16', null]) {
    it(`with a cost of ${JSON.stringify(N)} is damage, and nothing is spent on it`, async () => {
      await assert.rejects(openWith({ N }), (error) => {
        assert.ok(hasCode(error, 'object-damaged'), String(error));
        assert.match(error.message, /encryption\.slots\[0\]\.kdf\.N: expected a power of two from 2 to 1048576/);
        return true;
      });
    });
  }

  for (const N of [2, 32, 1024]) {
    it(`with another power of two, ${N}, opens with no secret`, async () => {
      await assert.rejects(openWith({ N }), { code: 'passphrase-wrong' });
    });
  }

  it('with other parameters is not understood', async () => {
    for (const other of [{ r: 16 }, { p: 2 }, { name: 'argon2id' }]) {
      await assert.rejects(openWith(other), { code: 'object-damaged' });
    }
  });
});

describe('a secret that pgrecall makes', () => {
  const secret = newSecret(countingBytes('secret'));

  it('is told by its form from everything that people choose', () => {
    assert.match(secret, /^pgrecall-key-[\w-]{43}$/);
    assert.equal(isGeneratedSecret(secret), true);
    const last = secret.at(-1) ?? '';
    // The last digit has two bits to spare: other spellings of the same 256 bits.
    const others = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
      .filter((digit) => digit !== last)
      .map((digit) => secret.slice(0, -1) + digit)
      .filter(isGeneratedSecret);
    assert.equal(others.length, 15);
    const chosen = ['', passphrase, 'x'.repeat(56), secret.slice(0, -1), `${secret}A`, `${secret}\n`, ` ${secret}`];
    for (const one of [...chosen, secret.toUpperCase(), secret.replace('key', 'kez'), Buffer.from(secret)]) {
      assert.equal(isGeneratedSecret(one), false, JSON.stringify(one));
    }
  });

  it('opens its repository without being stretched', async () => {
    const storage = new MemoryStorage();
    await testRepository({ storage, passphrase: secret });
    assert.deepEqual(await kdfsOf(storage), ['hkdf-sha256']);
    assert.equal((await openRepository(storage, { passphrase: secret })).encrypted, true);
    const other = newSecret(countingBytes('other'));
    await assert.rejects(openRepository(storage, { passphrase: other }), { code: 'passphrase-wrong' });
    await assert.rejects(openRepository(storage, { passphrase }), { code: 'passphrase-wrong' });
  });

  it('stands beside a passphrase that is stretched; each opens the repository', async () => {
    const storage = new MemoryStorage();
    const repository = await testRepository({ storage, passphrase });
    await repository.addKeySlot({
      secret,
      label: 'made',
      scryptCost: quickCost,
      purpose: 'test',
      now: noon,
      randomBytes: countingBytes('slot'),
    });
    assert.deepEqual(await kdfsOf(storage), ['scrypt', 'hkdf-sha256']);
    for (const one of [passphrase, secret]) await openRepository(storage, { passphrase: one });
  });

  it('is stretched where a slot says so', async () => {
    await assert.rejects(openWith({ name: 'scrypt', N: 16, r: 8, p: 1 }, secret), { code: 'passphrase-wrong' });
    await assert.rejects(openWith({ name: 'scrypt' }, secret), { code: 'object-damaged' });
  });

  it('is the only kind that goes without: a slot cannot say so of a passphrase', async () => {
    await assert.rejects(openWith({ name: 'hkdf-sha256' }), { code: 'passphrase-wrong' });
    await assert.rejects(openWith({ name: 'hkdf-sha256', salt: 'short' }, secret), { code: 'object-damaged' });
  });
});
