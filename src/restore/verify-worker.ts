import { workerData } from 'node:worker_threads';
import { openWithAccess } from '../repository/repository.ts';
import { serve } from '../threads/serve.ts';
import { ExtentVerifier } from './extent-verifier.ts';
import type { RestoreWorkerData } from './restore-worker.ts';
import type { VerifiedBatch, VerifyItem } from './verify-items.ts';

const data = workerData as RestoreWorkerData;
const verifier = new ExtentVerifier(openWithAccess(data.access).cluster(data.cluster));
serve<readonly VerifyItem[], VerifiedBatch>(async (items) => verifier.verify(items));
