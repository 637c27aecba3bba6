import { workerData } from 'node:worker_threads';
import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { openWithAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { RestoreWorkerData } from './restore-worker.ts';
import type { VerifiedBatch, VerifiedItem, VerifyBatch, VerifyItem } from './verify-items.ts';

const data = workerData as RestoreWorkerData;
const reader = new ExtentReader(openWithAccess(data.access).cluster(data.cluster));

/** Damage is an answer here, not a failure: the rest goes on being read. */
async function verify(item: VerifyItem): Promise<VerifiedItem> {
  let lengthBytes = 0;
  let crc = 0;
  try {
    await reader.read(item.extents, (bytes) => {
      lengthBytes += bytes.length;
      crc = crc32c(bytes, crc);
    });
    return { kind: 'read', lengthBytes, crc32c: crc };
  } catch (error) {
    if (!(error instanceof PgrecallError) || error.exitStatus !== 3) throw error;
    return { kind: 'damaged', code: error.code, message: error.message };
  }
}

serve<VerifyBatch, VerifiedBatch>(async ({ items }) => {
  const results: VerifiedItem[] = [];
  for (const item of items) results.push(await verify(item));
  return { items: results };
});
