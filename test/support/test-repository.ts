import { createHash } from 'node:crypto';
import type { BackupRecord } from '../../src/repository/backup-record.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';

/** "Random" bytes that are the same in every run: SHA-256 of a counter. */
export function countingBytes(seed = 'pgrecall'): (length: number) => Uint8Array {
  let count = 0;
  return (length) => {
    const parts: Buffer[] = [];
    for (let have = 0; have < length; have += 32) {
      count += 1;
      parts.push(createHash('sha256').update(`${seed} ${count}`).digest());
    }
    return Buffer.concat(parts).subarray(0, length);
  };
}

export const noon = (): Date => new Date('2026-11-23T12:00:00Z');

/** scrypt's N for tests: the real one takes a third of a second. */
export const quickCost = 16;

/** An empty repository, by default in memory. */
export async function testRepository(
  options: { readonly storage?: Storage; readonly passphrase?: string; readonly seed?: string } = {},
): Promise<Repository> {
  return createRepository(options.storage ?? new MemoryStorage(), {
    ...(options.passphrase === undefined ? {} : { passphrase: options.passphrase }),
    randomBytes: countingBytes(options.seed),
    now: noon,
    scryptCost: quickCost,
  });
}

export function backupRecord(id: string, changes: Partial<BackupRecord> = {}): BackupRecord {
  return {
    id,
    format: 1,
    kind: 'physical',
    temperature: 'hot',
    type: 'full',
    incarnation: 1,
    postgresMajor: 15,
    systemIdentifier: '7435620123456789012',
    startedAt: '2026-11-23T08:38:34.000Z',
    stoppedAt: '2026-11-23T08:39:12.000Z',
    timeline: 1,
    startLsn: '0/2000028',
    endLsn: '0/2000100',
    checkpointLsn: '0/2000060',
    startSegment: '000000010000000000000002',
    stopSegment: '000000010000000000000002',
    fromStandby: false,
    sizeBytes: 1000,
    storedBytes: 100,
    files: 2,
    keep: false,
    note: 'before the upgrade',
    tablespaces: [{ oid: 16_384, path: '/mnt/fast', name: 'fast' }],
    dataChecksums: true,
    badPages: [],
    pgrecallVersion: '0.1.0',
    packs: ['00112233445566778899aabbccddeeff'],
    outsideFiles: [],
    warnings: [],
    ...changes,
  };
}

/** The content of an asynchronous iterable. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
