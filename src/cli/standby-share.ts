import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LeftTimelines, type SegmentShare } from '../archive/left-timelines.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { readControlFile } from '../backup/read-control-file.ts';
import { hasCode, isErrno } from '../errors/pgrecall-error.ts';
import type { SegmentName } from '../postgres/segment-name.ts';
import { isStandby } from '../server/standby-signal.ts';

/**
 * What the server of a data directory gets of a segment: a recovery to a target whatever there is; a standby of a timeline that was
 * left what lies before that. Unless it does not look for newer timelines, or has got beyond that place: then the newer one
 * was given up, as by a recovery that was undone, or the standby has to rejoin. To wait for it is of no use.
 */
export class StandbyShare {
  readonly #left: LeftTimelines;
  readonly #dataDirectory: string;

  constructor(store: WalStore, dataDirectory: string) {
    this.#left = new LeftTimelines(store);
    this.#dataDirectory = dataDirectory;
  }

  async of(name: SegmentName): Promise<SegmentShare> {
    const all: SegmentShare = { kind: 'all' };
    if (!isStandby(this.#dataDirectory)) return all;
    const { share, leftLsn } = await this.#left.shareOf(name);
    if (leftLsn === undefined || share.kind === 'all') return all;
    return isBoundTo(this.#dataDirectory) || hasPassed(this.#dataDirectory, name, leftLsn) ? all : share;
  }
}

/** Whether `recovery_target_timeline` has a number, where `standby create` and `rejoin` write it. */
function isBoundTo(dataDirectory: string): boolean {
  try {
    const text = readFileSync(join(dataDirectory, 'postgresql.auto.conf'), 'utf8');
    const last = [...text.matchAll(/^\s*recovery_target_timeline\s*=?\s*'?(\w+)/gim)].at(-1);
    return /^\d/.test(last?.[1] ?? '');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES')) return false;
    throw error;
  }
}

/** By its last restart point, as far as that can be read. */
function hasPassed(dataDirectory: string, { timeline }: SegmentName, leftLsn: bigint): boolean {
  try {
    const { control } = readControlFile(dataDirectory);
    return control.timeline === timeline && control.redoLsn > leftLsn;
  } catch (error) {
    if (hasCode(error, 'data-directory', 'decode')) return false;
    throw error;
  }
}
