import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import {
  isBackupHistoryName,
  isHistoryName,
  isPartialName,
  isSegmentName,
  parseSegmentName,
  type SegmentName,
} from '../postgres/segment-name.ts';
import { parseHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import { timeline, type Timeline } from '../postgres/timeline.ts';
import { prepareContent, type PreparedContent } from '../repository/content-digest.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import { indexSegment } from '../wal/index-segment.ts';
import { shortHeaderBytes } from '../wal/page-header.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { checkBeginningSize, checkSegment, checkSegmentSize } from './check-segment.ts';
import { chooseBeginning, isBeginningOf, padded, usedBytes, usedPart } from './partial-segment.ts';
import { rollUpAround } from './roll-up.ts';
import { WalIndexStore } from './wal-index-store.ts';
import {
  WalKeys,
  logOfFolder,
  otherContent,
  parseWalObjectName,
  timelineOfFolder,
  walObjectName,
  type WalObjectName,
} from './wal-keys.ts';

/** A whole segment as it is stored. */
export interface StoredSegment extends SegmentName {
  readonly name: string;
  /** In the cluster's part of the repository. */
  readonly key: string;
  /** Of its content (repository/content-digest.ts). */
  readonly digest: string;
}

export type Stored = 'stored' | 'already-there';

/**
 * The WAL archive of one incarnation of a cluster.
 *
 * The order of a segment's way in: the segment, durable; then its index, which is not. A crash in between leaves a
 * segment without an index, which the next push of the same segment mends, and which is read from the segment itself
 * until then; so does a power cut that takes the index.
 */
export class WalStore {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly keys: WalKeys;
  readonly index: WalIndexStore;

  constructor(cluster: ClusterRepository, incarnation: Incarnation) {
    this.cluster = cluster;
    this.incarnation = incarnation;
    this.keys = new WalKeys(incarnation.number, incarnation.segmentBytes);
    this.index = new WalIndexStore(cluster, this.keys);
  }

  get segmentBytes(): number {
    return this.incarnation.segmentBytes;
  }

  /**
   * Stores a file of pg_wal by what its name says it is. Throws `wal-name` for what is no WAL file, and what the
   * method for its kind throws.
   */
  async put(name: string, bytes: Uint8Array): Promise<Stored> {
    if (isSegmentName(name)) return this.putSegment(name, bytes);
    if (isHistoryName(name)) return this.putHistory(name, bytes);
    if (isPartialName(name)) return this.putPartial(name.slice(0, -'.partial'.length), bytes);
    if (isBackupHistoryName(name)) return this.#putBackupHistory(name, bytes);
    throw new PgrecallError('wal-name', `"${name}" is not the name of a WAL file`, {
      hint: 'a segment (24 hexadecimal digits), 00000002.history, a .partial or a .backup file',
    });
  }

  /** The file of that name as the server would have it; `undefined` where the archive has none. */
  async get(name: string): Promise<Uint8Array | undefined> {
    if (isSegmentName(name)) return (await this.getSegment(name)) ?? this.getPartial(name);
    if (isHistoryName(name)) return this.getHistory(name);
    if (isPartialName(name)) return this.getPartial(name.slice(0, -'.partial'.length));
    if (isBackupHistoryName(name)) return this.#getOrAbsent(this.#backupHistoryKey(name), maxTextBytes);
    throw new PgrecallError('wal-name', `"${name}" is not the name of a WAL file`);
  }

  // Whole segments

  /** Throws `wal-other-content` where two contents have that name, `wal-name`. */
  async findSegment(name: string): Promise<StoredSegment | undefined> {
    const parsed = parseSegmentName(name, this.segmentBytes);
    const found = (await this.#contents(parsed, name)).filter(({ kind }) => kind === 'segment');
    const [only, second] = found;
    if (!only) return undefined;
    const key = this.#keyOf(parsed, only);
    if (second) await this.#refuseOther(parsed, name, found, await this.cluster.getSealed(key, this.segmentBytes));
    return { ...parsed, name, key, digest: only.digest };
  }

  /** Throws `wal-other-content`, `wal-name`, and what damage in the repository throws. */
  async getSegment(name: string): Promise<Uint8Array | undefined> {
    const found = await this.findSegment(name);
    return found && this.cluster.getSealed(found.key, this.segmentBytes);
  }

  /**
   * Whether the segment is there, and durable: whoever stored it may have died before it was. For those who rely on it
   * without having stored it. Throws what `findSegment` throws.
   */
  async settleSegment(name: string): Promise<boolean> {
    const found = await this.findSegment(name);
    if (found) await this.cluster.settle(found.key);
    return found !== undefined;
  }

  /**
   * What is a beginning filled with zeros is stored as one, whatever its name says: a standby with archive_mode = always
   * hands over what it got from here of a segment that was not whole yet, and the whole one is still to come. Throws
   * `wal-other-content`, `wal-other-cluster`, `wal-damaged`, `wal-name`. Durable on return.
   */
  async putSegment(name: string, bytes: Uint8Array): Promise<Stored> {
    const parsed = parseSegmentName(name, this.segmentBytes);
    checkSegmentSize(name, bytes.length, this.incarnation);
    checkSegment(name, parsed, bytes, this.incarnation);
    const index = tryToIndex(bytes);
    if (index && isPadded(index, bytes)) return this.putPartial(name, bytes);
    const content = prepareContent(bytes, 'wal');
    const stored: WalObjectName = { segment: name, kind: 'segment', digest: content.digest };
    const before = await this.#contents(parsed, name);
    const whole = before.filter(isWhole);
    await this.#refuseOther(parsed, name, whole, bytes, content.digest);
    const [there] = whole;
    if (there) {
      await this.cluster.settle(this.#keyOf(parsed, there));
      if (index && !(await this.index.has(parsed))) await this.index.write(parsed, index);
      return 'already-there';
    }
    await this.#putContent(parsed, stored, content);
    // Another archiver may have stored another content at the same time: then each of the two sees both.
    await this.#refuseOther(parsed, name, (await this.#contents(parsed, name)).filter(isWhole), bytes, content.digest);
    if (index) await this.index.write(parsed, index);
    await this.#dropBeginnings(parsed, before, bytes);
    await rollUpAround(this, parsed);
    return 'stored';
  }

  /** Contents of other digests than `digest` are read and compared: they may be the same, compressed by another zstd. */
  async #refuseOther(
    parsed: SegmentName,
    name: string,
    whole: readonly WalObjectName[],
    bytes: Uint8Array,
    digest?: string,
  ): Promise<void> {
    for (const content of whole) {
      if (content.digest === digest) continue;
      const stored = await this.cluster.getSealed(this.#keyOf(parsed, content), this.segmentBytes);
      if (Buffer.compare(stored, bytes) === 0) continue;
      throw otherContent(name, this.cluster.repository.storage.description, whole.map(walObjectName));
    }
  }

  async #putContent(parsed: SegmentName, name: WalObjectName, content: PreparedContent): Promise<void> {
    const key = this.#keyOf(parsed, name);
    try {
      await this.cluster.putPrepared(key, content);
    } catch (error) {
      // The key names the content: whoever was faster stored the same.
      if (!hasCode(error, 'object-exists')) throw error;
      await this.cluster.settle(key);
    }
  }

  // Beginnings of segments

  /**
   * Stores the beginning of a segment; what of it is only zeros at the end does not count. A beginning that another
   * one goes on from is replaced by it; two that contradict each other are both kept. Durable on return. Throws
   * `wal-other-cluster`, `wal-damaged`, `wal-name`.
   */
  async putPartial(name: string, bytes: Uint8Array): Promise<Stored> {
    const parsed = parseSegmentName(name, this.segmentBytes);
    const used = usedPart(bytes);
    if (used.length === 0) return 'already-there';
    checkBeginningSize(name, used.length, this.incarnation);
    // The header itself may end in zeros.
    checkSegment(name, parsed, bytes, this.incarnation);
    const there = await this.findSegment(name);
    if (there && isBeginningOf(used, await this.cluster.getSealed(there.key, this.segmentBytes))) {
      // Whoever hands the beginning over forgets it now.
      await this.cluster.settle(there.key);
      return 'already-there';
    }
    const prepared = prepareContent(used, 'wal');
    const superfluous: WalObjectName[] = [];
    for (const content of await this.#contents(parsed, name)) {
      if (content.kind !== 'partial') continue;
      const key = this.#keyOf(parsed, content);
      const stored = await this.#getOrAbsent(key, this.segmentBytes);
      if (!stored) continue;
      if (isBeginningOf(used, stored)) {
        await this.cluster.settle(key);
        return 'already-there';
      }
      if (isBeginningOf(stored, used)) superfluous.push(content);
    }
    await this.#putContent(parsed, { segment: name, kind: 'partial', digest: prepared.digest }, prepared);
    for (const content of superfluous) await this.#delete(parsed, content);
    return 'stored';
  }

  /**
   * The beginning that is archived of a segment, filled with zeros to a segment's size as PostgreSQL wants it; of
   * several the one with the most WAL.
   */
  async getPartial(name: string): Promise<Uint8Array | undefined> {
    const parsed = parseSegmentName(name, this.segmentBytes);
    const beginnings: Uint8Array[] = [];
    for (const content of await this.#contents(parsed, name)) {
      if (content.kind !== 'partial') continue;
      const stored = await this.#getOrAbsent(this.#keyOf(parsed, content), this.segmentBytes);
      if (stored) beginnings.push(stored);
    }
    const best = chooseBeginning(beginnings);
    return best && padded(best, this.segmentBytes);
  }

  async #dropBeginnings(parsed: SegmentName, before: readonly WalObjectName[], whole: Uint8Array): Promise<void> {
    for (const content of before) {
      if (content.kind !== 'partial') continue;
      const stored = await this.#getOrAbsent(this.#keyOf(parsed, content), this.segmentBytes);
      if (stored && isBeginningOf(stored, whole)) await this.#delete(parsed, content);
    }
  }

  async #delete(parsed: SegmentName, content: WalObjectName): Promise<void> {
    await this.cluster.deleteObject(this.#keyOf(parsed, content));
  }

  // Histories

  /** Throws `wal-other-content`, `wal-name`, `decode`. Durable on return. */
  async putHistory(name: string, bytes: Uint8Array): Promise<Stored> {
    parseHistory(Buffer.from(bytes).toString('utf8'), this.#timelineOf(name));
    return this.#putText(name, this.keys.historyKey(name), bytes);
  }

  async getHistory(name: string): Promise<Uint8Array | undefined> {
    this.#timelineOf(name);
    return this.#getOrAbsent(this.keys.historyKey(name), maxTextBytes);
  }

  /** Every history that is archived, by its timeline. */
  async readHistories(): Promise<Map<Timeline, TimelineHistory>> {
    const histories = new Map<Timeline, TimelineHistory>();
    for (const name of await this.cluster.listNames(this.keys.walFolder)) {
      if (!isHistoryName(name)) continue;
      const of = this.#timelineOf(name);
      const bytes = await this.getHistory(name);
      if (bytes) histories.set(of, parseHistory(Buffer.from(bytes).toString('utf8'), of));
    }
    return histories;
  }

  #timelineOf(name: string): Timeline {
    if (!isHistoryName(name)) throw new PgrecallError('wal-name', `"${name}" is not the name of a history file`);
    return timeline(Number.parseInt(name.slice(0, 8), 16));
  }

  async #putBackupHistory(name: string, bytes: Uint8Array): Promise<Stored> {
    return this.#putText(name, this.#backupHistoryKey(name), bytes);
  }

  #backupHistoryKey(name: string): string {
    return `${this.#folderOf(parseSegmentName(name.slice(0, 24), this.segmentBytes))}/${name}`;
  }

  async #putText(name: string, key: string, bytes: Uint8Array): Promise<Stored> {
    try {
      await this.cluster.putSealed(key, bytes);
      return 'stored';
    } catch (error) {
      if (!hasCode(error, 'object-exists')) throw error;
    }
    const stored = await this.cluster.getSealed(key, maxTextBytes);
    if (Buffer.compare(stored, bytes) === 0) {
      await this.cluster.settle(key);
      return 'already-there';
    }
    throw otherContent(name, this.cluster.repository.storage.description, [key]);
  }

  // What there is

  /** Timelines of which there are segments, ascending. */
  async listTimelines(): Promise<Timeline[]> {
    const names = await this.cluster.listNames(this.keys.walFolder);
    return names.map(timelineOfFolder).filter((found) => found !== undefined);
  }

  /** Logs (4 GiB of WAL) of which there are segments, ascending. */
  async listLogs(of: Timeline): Promise<bigint[]> {
    const names = await this.cluster.listNames(`${this.keys.walFolder}/${formatFolder(of)}`);
    return names.map(logOfFolder).filter((found) => found !== undefined);
  }

  /** What lies in a log's folder, in the order of the segments; beginnings included. */
  async listLog(of: Timeline, log: bigint): Promise<WalObjectName[]> {
    const names = await this.cluster.listNames(this.keys.logFolder(of, log));
    return names.map(parseWalObjectName).filter((found) => found !== undefined);
  }

  /** Every whole segment, by timeline and position. */
  async *listSegments(): AsyncGenerator<StoredSegment> {
    for (const of of await this.listTimelines()) {
      for (const log of await this.listLogs(of)) {
        for (const content of await this.listLog(of, log)) {
          if (content.kind !== 'segment') continue;
          const parsed = parseSegmentName(content.segment, this.segmentBytes);
          const key = `${this.keys.logFolder(of, log)}/${walObjectName(content)}`;
          yield { ...parsed, name: content.segment, key, digest: content.digest };
        }
      }
    }
  }

  #keyOf(parsed: SegmentName, content: WalObjectName): string {
    return `${this.#folderOf(parsed)}/${walObjectName(content)}`;
  }

  #folderOf({ timeline: of, number }: SegmentName): string {
    return this.keys.logFolder(of, this.keys.logOf(number));
  }

  /** What is stored under a segment's name: whole or partial, most often one or none. */
  async #contents(parsed: SegmentName, name: string): Promise<WalObjectName[]> {
    const names = await this.cluster.listNames(this.#folderOf(parsed));
    return names
      .filter((candidate) => candidate.startsWith(name))
      .map(parseWalObjectName)
      .filter((found) => found !== undefined);
  }

  async #getOrAbsent(key: string, limitBytes: number): Promise<Uint8Array | undefined> {
    try {
      return await this.cluster.getSealed(key, limitBytes);
    } catch (error) {
      if (hasCode(error, 'object-missing')) return undefined;
      throw error;
    }
  }
}

/** History and backup files have some lines; nothing comes near this. */
const maxTextBytes = 16_777_216;

function isWhole({ kind }: WalObjectName): boolean {
  return kind === 'segment';
}

/** Whether WAL ends before the segment does, and nothing but zeros follows: of its last page there may be the header, or whole records. */
function isPadded({ ending, problem, walBlockBytes, startLsn, usedEndLsn }: SegmentIndex, bytes: Uint8Array): boolean {
  if (ending !== 'end-of-wal' || problem !== undefined) return false;
  const headerEnd = bytes.length - walBlockBytes + shortHeaderBytes;
  return usedBytes(bytes) <= Math.max(headerEnd, Number(usedEndLsn - startLsn));
}

function formatFolder(of: Timeline): string {
  return of.toString(16).toUpperCase().padStart(8, '0');
}

/** WAL that cannot be read is archived all the same: only its index is missing then. */
function tryToIndex(bytes: Uint8Array): SegmentIndex | undefined {
  try {
    return indexSegment(bytes);
  } catch {
    return undefined;
  }
}
