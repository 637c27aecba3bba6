import { setTimeout as sleep } from 'node:timers/promises';
import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import {
  formatSegmentName,
  segmentBefore,
  segmentNumber,
  segmentOf,
  segmentStart,
  type SegmentName,
} from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { readLocalWal } from './local-wal.ts';

/** What of the WAL archive a backup needs. */
export type WalKeeper = Pick<WalStore, 'settleSegment' | 'putSegment' | 'putPartial'>;

export interface NeededWalOptions {
  readonly store: WalKeeper;
  readonly dataDirectory: string;
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  readonly segmentBytes: number;
  /** Up to where the server has WAL in pg_wal; asked again and again. */
  readonly writtenLsn: () => Promise<Lsn>;
  /** A standby cannot switch segments: the last one is stored as far as it goes. */
  readonly fromStandby: boolean;
  readonly timeoutMs: number;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

const pollMs = 100;
const keepingPollMs = 1000;

/**
 * Sees to it that the WAL between start and end of a backup is in the repository; only then can the backup be
 * called complete. Segments that the archiver has not brought yet, but that lie complete in pg_wal, are stored from
 * there: pushing one twice is harmless, waiting for a stuck archiver is not.
 */
export class NeededWal {
  readonly #options: NeededWalOptions;

  constructor(options: NeededWalOptions) {
    this.#options = options;
  }

  /**
   * Where nobody archives, the server removes WAL at its next checkpoints: stores what is finished while the backup
   * goes on. What fails here is tried again, and reported, by `ensure`.
   */
  keepWhileCopying(): AsyncDisposable {
    const { signal } = this.#options;
    const stop = new AbortController();
    const keeping = this.#keep(AbortSignal.any([signal, stop.signal]));
    return {
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await keeping;
      },
    };
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { startLsn, segmentBytes, timeline } = this.#options;
    let next = segmentOf(startLsn, segmentBytes);
    try {
      for (;;) {
        await sleep(keepingPollMs, undefined, { signal });
        while (await this.#isStored({ timeline, number: next }, undefined)) next = segmentNumber(next + 1n);
      }
    } catch {
      // Asked to stop, or a failure that `ensure` will meet as well.
    }
  }

  /**
   * Returns when every segment up to `stopLsn` is in the repository, durable. Throws `wal-not-archived` when one is
   * still missing after the time given.
   */
  async ensure(stopLsn: Lsn): Promise<void> {
    const { startLsn, segmentBytes, timeline, now, signal, say } = this.#options;
    const deadlineMs = now().getTime() + this.#options.timeoutMs;
    const last = segmentBefore(stopLsn, segmentBytes);
    for (let number = segmentOf(startLsn, segmentBytes); number <= last; number = segmentNumber(number + 1n)) {
      let said = false;
      while (!(await this.#isStored({ timeline, number }, stopLsn))) {
        signal.throwIfAborted();
        const name = formatSegmentName({ timeline, number }, segmentBytes);
        if (now().getTime() >= deadlineMs) throw this.#missing(name, stopLsn);
        if (!said) say(`waiting for ${name} to be archived`);
        said = true;
        await sleep(pollMs, undefined, { signal });
      }
    }
  }

  /** Whether the segment is in the repository, durable, put there by this call if need be. */
  async #isStored(segment: SegmentName, stopLsn: Lsn | undefined): Promise<boolean> {
    const { store, segmentBytes, dataDirectory, fromStandby } = this.#options;
    const name = formatSegmentName(segment, segmentBytes);
    if (await store.settleSegment(name)) return true;
    const written = await this.#options.writtenLsn();
    const start = segmentStart(segment.number, segmentBytes);
    const end = segmentStart(segmentNumber(segment.number + 1n), segmentBytes);
    const isLast = fromStandby && stopLsn !== undefined && stopLsn <= end && stopLsn <= written;
    if (written < end && !isLast) return false;
    const bytes = readLocalWal(dataDirectory, name);
    if (bytes?.length !== segmentBytes) return false;
    if (written >= end) {
      await store.putSegment(name, bytes);
    } else {
      // What lies behind the last byte received is left from an earlier use of the file.
      bytes.fill(0, Number(written - start));
      await store.putPartial(name, bytes);
    }
    return true;
  }

  #missing(name: string, stopLsn: Lsn): PgrecallError {
    const [from, to] = [formatLsn(this.#options.startLsn), formatLsn(stopLsn)];
    const seconds = Math.round(this.#options.timeoutMs / 1000);
    return new PgrecallError(
      'wal-not-archived',
      `the backup needs WAL from ${from} to ${to}, and segment ${name} did not reach the repository within ${seconds} s`,
      {
        hint: 'look at archive_command’s messages in the server’s log, and at pgrecall check; the backup is not listed, since it could not be restored',
        details: { segment: name, startLsn: from, endLsn: to },
      },
    );
  }
}
