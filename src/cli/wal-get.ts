import { resolve } from 'node:path';
import { readFileSync } from 'node:fs';
import { fetchFile } from '../archive/fetch-file.ts';
import type { SegmentShare } from '../archive/left-timelines.ts';
import { sayWanted } from '../archive/prefetcher.ts';
import { absentStatus, aheadDirectory } from '../archive/restore-command.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isSegmentName, parseSegmentName } from '../postgres/segment-name.ts';
import { openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { requiredPositional, textOption } from './options.ts';
import { reportError } from './report-error.ts';
import { StandbyShare } from './standby-share.ts';

/** For restore-command.ts; at this status PostgreSQL stops (xlogarchive.c, RestoreArchivedFile). */
const stopServerStatus = 126;

/**
 * `pgrecall wal get NAME PATH --cluster C`: exit 1 where the archive has no such file. With `--ahead`, as
 * restore-command.ts calls it, the status tells that from every other failure.
 */
export const runWalGet: RunCommand = async (arguments_, context) => {
  const name = requiredPositional(arguments_, 'name');
  const path = resolve(context.cwd, requiredPositional(arguments_, 'path'));
  const ahead = textOption(arguments_.options, 'ahead');
  if (ahead === undefined) {
    const access = await openCluster(context, textOption(arguments_.options, 'cluster'));
    if (await fetchFile(access.store, name, path)) return 0;
    throw new PgrecallError('wal-absent', `"${name}" is not in the archive of "${access.config.name}"`);
  }
  try {
    const access = await openCluster(context, textOption(arguments_.options, 'cluster'));
    if (isSegmentName(name)) sayWhatWasWanted(name, ahead);
    const share = await shareFor(access.store, name, ahead);
    if (share.kind === 'none') return absentStatus;
    const options = share.kind === 'until' ? { untilLsn: share.lsn } : {};
    return (await fetchFile(access.store, name, path, options)) ? 0 : absentStatus;
  } catch (error) {
    context.stderr(reportError(error).text);
    return stopServerStatus;
  }
};

async function shareFor(store: WalStore, name: string, dataDirectory: string): Promise<SegmentShare> {
  if (!isSegmentName(name)) return { kind: 'all' };
  return new StandbyShare(store, dataDirectory).of(parseSegmentName(name, store.segmentBytes));
}

/** A prefetcher that runs has guessed wrong: it is to go on from here. */
function sayWhatWasWanted(name: string, dataDirectory: string): void {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  sayWanted(aheadDirectory(dataDirectory, boot), name);
}
