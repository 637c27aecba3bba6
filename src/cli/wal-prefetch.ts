import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fetchInThreads } from '../archive/archive-threads.ts';
import { runPrefetcher } from '../archive/prefetcher.ts';
import { parseSegmentName, segmentNumber } from '../postgres/segment-name.ts';
import { acquireLock } from '../repository/lock.ts';
import { isStandby } from '../server/standby-signal.ts';
import { LocalStorage } from '../storage/local.ts';
import { archiveForThreads, openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { StandbyShare } from './standby-share.ts';

/** `pgrecall wal prefetch NAME DIRECTORY --cluster C`: fetches what follows NAME ahead of a server that recovers. */
export const runWalPrefetch: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const name = requiredPositional(arguments_, 'name');
  const directory = resolve(context.cwd, requiredPositional(arguments_, 'directory'));
  const access = await openCluster(context, textOption(options, 'cluster'));
  const { config, store } = access;
  const { timeline, number } = parseSegmentName(name, store.segmentBytes);
  const first = flagOption(options, 'including') ? number : segmentNumber(number + 1n);
  await using lock = await acquireLock(new LocalStorage(resolve(directory, '..')), 'locks', 'prefetcher', {
    purpose: 'wal prefetch',
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
  });
  void lock;
  const jobs = numberOption(options, 'jobs', 1) ?? config.jobs;
  await using pool = fetchInThreads(access.store, archiveForThreads(access), jobs);
  const recovering = textOption(options, 'while');
  const share = recovering === undefined ? undefined : new StandbyShare(store, recovering);
  // The rest is for `wal get` to decide.
  const isGivenWhole = async (segment: string): Promise<boolean> =>
    share === undefined || (await share.of(parseSegmentName(segment, store.segmentBytes))).kind === 'all';
  const { fetched } = await runPrefetcher({
    directory,
    segmentBytes: store.segmentBytes,
    first: { timeline, number: first },
    has: async (segment) => (await isGivenWhole(segment)) && (await store.findSegment(segment)) !== undefined,
    fetch: async (segment, path, workingDirectory) => pool.run({ name: segment, path, workingDirectory }),
    parallel: jobs * 2,
    isNeeded: () => recovering === undefined || isRecovering(recovering),
    report: ({ name: segment, error }) => context.stderr(`${segment}: ${error.message}`),
    signal: context.signal,
    idleExitMs: secondsOption(options, 'idleExit'),
  });
  context.stderr(`${fetched} segments fetched ahead`);
  return 0;
};

function isRecovering(dataDirectory: string): boolean {
  return isStandby(dataDirectory) || existsSync(join(dataDirectory, 'recovery.signal'));
}
