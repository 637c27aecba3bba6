import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FaultStorage } from '../../src/storage/fault.ts';
import { LocalStorage } from '../../src/storage/local.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { storageContract } from './storage-contract.ts';

storageContract('local', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pgrecall-storage-'));
  return {
    storage: new LocalStorage(join(directory, 'repository')),
    [Symbol.asyncDispose]: async () => rm(directory, { recursive: true }),
  };
});

for (const asynchronous of [false, true]) {
  storageContract(asynchronous ? 'memory, as across a network' : 'memory', async () => ({
    storage: new MemoryStorage({ asynchronous }),
    [Symbol.asyncDispose]: async () => {},
  }));
}

storageContract('fault wrapper without a fault', async () => ({
  storage: new FaultStorage(new MemoryStorage()),
  [Symbol.asyncDispose]: async () => {},
}));
