import { isBeginningOf, usedPart } from '../archive/partial-segment.ts';
import type { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import {
  formatHistoryName,
  formatSegmentName,
  segmentBefore,
  segmentNumber,
  segmentOf,
  segmentStart,
  type SegmentNumber,
} from '../postgres/segment-name.ts';
import { recordsFrom, type WalSource } from '../wal/record-chain.ts';
import { resourceManagers } from '../wal/resource-managers.ts';
import type { ColdCopy } from './cold-plan.ts';
import { readLocalWal } from './local-wal.ts';
import type { NeededRange } from './make-record.ts';

/** Of an XLOG record: a checkpoint of a shutdown, and one of a server that went on. */
const checkpointInfos = { shutdown: 0x00, online: 0x10 } as const;

/**
 * The WAL that a stopped cluster needs to start, in its own pg_wal; what is missing there may be in the archive, as of a
 * standby that recovers from it.
 */
export class ColdWal {
  readonly #dataDirectory: string;
  readonly #control: ControlFile;
  readonly #store: WalStore;

  constructor(dataDirectory: string, control: ControlFile, store: WalStore) {
    this.#dataDirectory = dataDirectory;
    this.#control = control;
    this.#store = store;
  }

  /**
   * From where to where it is needed: read record by record, so that it is known to be whole. Throws `wal-gap` where
   * it is not, which a start of the server would find out, too.
   */
  async findRange(copy: ColdCopy): Promise<NeededRange> {
    const { timeline, redoLsn, checkpointLsn } = this.#control;
    const source = await this.#source(copy);
    const checkpointEndLsn = this.#checkpointEnd(source, copy);
    const range = { timeline, startLsn: redoLsn, checkpointLsn, fromStandby: copy.kind === 'standby' };
    if (copy.kind === 'clean') return { ...range, endLsn: checkpointEndLsn };
    let endLsn = redoLsn;
    for (const record of recordsFrom(source, redoLsn)) {
      endLsn = record.endLsn;
      if (copy.kind === 'standby' && endLsn >= copy.consistentLsn && endLsn >= checkpointEndLsn) break;
    }
    const neededLsn = copy.kind === 'standby' ? laterOf(copy.consistentLsn, checkpointEndLsn) : checkpointEndLsn;
    if (endLsn < neededLsn) throw this.#missing(endLsn, neededLsn);
    return { ...range, endLsn };
  }

  #checkpointEnd(source: WalSource, { kind }: ColdCopy): Lsn {
    const { checkpointLsn } = this.#control;
    const [record] = recordsFrom(source, checkpointLsn);
    const info = record && record.resourceManager === resourceManagers.xlog ? record.info & 0xf0 : undefined;
    const isShutdown = info === checkpointInfos.shutdown;
    const isRight = isShutdown || (info === checkpointInfos.online && kind !== 'clean');
    if (record?.lsn !== checkpointLsn || !isRight) throw this.#missing(checkpointLsn, checkpointLsn);
    return record.endLsn;
  }

  /** Of a standby with what pg_wal lacks and the archive has. */
  async #source(copy: ColdCopy): Promise<WalSource> {
    const { timeline, systemIdentifier, segmentBytes, redoLsn } = this.#control;
    const fetched = new Map<SegmentNumber, Uint8Array>();
    if (copy.kind === 'standby') {
      const last = segmentOf(copy.consistentLsn, segmentBytes);
      for (let number = segmentOf(redoLsn, segmentBytes); number <= last; number = segmentNumber(number + 1n)) {
        if (this.#read(number)) continue;
        const name = this.#nameOf(number);
        const bytes = (await this.#store.getSegment(name)) ?? (await this.#store.getPartial(name));
        if (bytes) fetched.set(number, bytes);
      }
    }
    const segment = (number: SegmentNumber): Uint8Array | undefined => this.#read(number) ?? fetched.get(number);
    return { timeline, systemIdentifier, segmentBytes, segment };
  }

  /**
   * Sees to it that the range is in the archive, durable, and with it the history of its timeline. The last segment is
   * stored as far as the range goes: the server will write on in it. Throws `wal-gap`, and what the archive throws.
   */
  async store(range: NeededRange, signal: AbortSignal): Promise<void> {
    const { segmentBytes } = this.#control;
    await this.#storeHistory();
    const last = segmentBefore(range.endLsn, segmentBytes);
    for (let number = segmentOf(range.startLsn, segmentBytes); number <= last; number = segmentNumber(number + 1n)) {
      signal.throwIfAborted();
      const name = this.#nameOf(number);
      const startLsn = segmentStart(number, segmentBytes);
      const local = this.#read(number);
      if (!local && (await this.#store.settleSegment(name))) continue;
      const bytes = local ?? (await this.#store.getPartial(name));
      if (!bytes) throw this.#missing(startLsn, range.endLsn);
      const used = range.endLsn - startLsn;
      if (used >= segmentBytes) {
        await this.#store.putSegment(name, bytes);
        continue;
      }
      // What lies behind is left from an earlier use of the file, or was being written when the server crashed.
      const beginning = Buffer.from(bytes).subarray(0, Number(used));
      await this.#refuseOther(name, beginning);
      if (!(await this.#store.settleSegment(name))) await this.#store.putPartial(name, beginning);
    }
  }

  /**
   * A cluster that was started anew from an older cold backup, on its old timeline, writes other WAL under the same names.
   * The archive has one for each name: a backup with the other one would not start. Throws `wal-other-content`.
   */
  async #refuseOther(name: string, beginning: Uint8Array): Promise<void> {
    const stored = (await this.#store.getSegment(name)) ?? (await this.#store.getPartial(name));
    if (!stored) return;
    const other = usedPart(stored);
    if (isBeginningOf(other, beginning) || isBeginningOf(beginning, other)) return;
    throw new PgrecallError(
      'wal-other-content',
      `segment ${name} is archived with other content than the one in pg_wal`,
      {
        hint: 'the cluster was brought back to an older state on its old timeline. Start it, SELECT pg_switch_wal(), and stop it again: then it ends in a segment that nobody else has',
        details: { segment: name },
      },
    );
  }

  /** Recovery asks for it by the number of the timeline. */
  async #storeHistory(): Promise<void> {
    const { timeline } = this.#control;
    if (timeline === 1) return;
    const name = formatHistoryName(timeline);
    const bytes = readLocalWal(this.#dataDirectory, name);
    if (bytes) await this.#store.putHistory(name, bytes);
    else if (!(await this.#store.getHistory(name))) {
      throw new PgrecallError(
        'wal-gap',
        `"${name}", without which timeline ${timeline} cannot be recovered, is neither in pg_wal nor in the repository`,
        { details: { name } },
      );
    }
  }

  #read(number: SegmentNumber): Uint8Array | undefined {
    const bytes = readLocalWal(this.#dataDirectory, this.#nameOf(number));
    return bytes?.length === this.#control.segmentBytes ? bytes : undefined;
  }

  #nameOf(number: SegmentNumber): string {
    const { timeline, segmentBytes } = this.#control;
    return formatSegmentName({ timeline, number }, segmentBytes);
  }

  #missing(fromLsn: Lsn, toLsn: Lsn): PgrecallError {
    const name = this.#nameOf(segmentOf(fromLsn, this.#control.segmentBytes));
    return new PgrecallError(
      'wal-gap',
      `"${this.#dataDirectory}" needs WAL up to ${formatLsn(toLsn)} to start, and it cannot be read at ${formatLsn(fromLsn)}: segment ${name} is missing in pg_wal or damaged`,
      {
        hint: 'its server will not start on it either: restore an earlier backup',
        details: { segment: name, fromLsn: formatLsn(fromLsn), toLsn: formatLsn(toLsn) },
      },
    );
  }
}

function laterOf(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}
