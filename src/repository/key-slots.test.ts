import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testRepository } from '../../test/support/test-repository.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { encodeRepositoryDocument, readRepositoryDocument, repositoryKey } from './repository-document.ts';
import { openRepository } from './repository.ts';

const passphrase = 'correct horse battery staple';

/** Opens a repository in whose first key slot scrypt's parameters are others. */
async function openWith(changes: Readonly<Record<string, unknown>>): Promise<unknown> {
  const storage = new MemoryStorage();
  await testRepository({ storage, passphrase });
  const document = await readRepositoryDocument(storage);
  const [slot] = document.encryption?.slots ?? [];
  assert.ok(slot && document.encryption);
  const slots = [{ ...slot, kdf: { ...slot.kdf, ...changes } }];
  const encryption = { ...document.encryption, slots };
  await storage.put(repositoryKey, encodeRepositoryDocument({ ...document, encryption }), { replace: true });
  return openRepository(storage, { passphrase });
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
