import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { segmentNumber, type SegmentName } from '../postgres/segment-name.ts';
import { formatTimeline, type Timeline } from '../postgres/timeline.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { SealedReader } from '../repository/sealed-reader.ts';
import type { SegmentIndex } from '../wal/segment-index.ts';
import { decodeSegmentIndex, encodeSegmentIndex } from '../wal/segment-index-codec.ts';
import { decodeGroup, encodeGroup, type Group } from './log-span.ts';
import { decodeSummary, encodeSummary, summarize, type SegmentSummary } from './segment-summary.ts';
import type { WalKeys } from './wal-keys.ts';

/*
 * The WAL index in the repository, in three steps that are each made from the one before:
 *
 *   segment   two blobs: its summary; its whole index
 *   log       the same of all segments of a log, once every one of them is there; takes the place of theirs
 *   group     what a catalogue has to know of 256 logs, so that one of a million segments reads some tens of objects
 *
 * A log is rolled up only when none of its segments is missing; what is never whole stays in single objects, and only
 * the group spares a catalogue reading them.
 */

export class WalIndexStore {
  readonly #cluster: ClusterRepository;
  readonly #keys: WalKeys;

  constructor(cluster: ClusterRepository, keys: WalKeys) {
    this.#cluster = cluster;
    this.#keys = keys;
  }

  /**
   * Not durable: what a power cut takes of it is read from the segment again, and a sync for each segment would
   * cost as much as storing it. What was there, of the same segment, is replaced: an index says only what its segment
   * says.
   */
  async write(name: SegmentName, index: SegmentIndex): Promise<void> {
    const summary = new ByteWriter(128);
    encodeSummary(summarize(index), summary);
    const parts = [summary.view(), encodeSegmentIndex(index)];
    await this.#cluster.putSealedParts(this.#keys.indexKey(name), parts, { replace: true, durable: false });
  }

  async has(name: SegmentName): Promise<boolean> {
    if (await this.#cluster.hasObject(this.#keys.indexKey(name))) return true;
    return this.#cluster.hasObject(this.#keys.logIndexKey(name.timeline, this.#keys.logOf(name.number)));
  }

  /** `undefined` where there is none. */
  async read(name: SegmentName): Promise<SegmentIndex | undefined> {
    const single = await this.#withObject(this.#keys.indexKey(name), async (reader) => readPart(reader, 1));
    if (single) return decodeSegmentIndex(single);
    const log = this.#keys.logOf(name.number);
    const place = Number(name.number - this.#keys.firstOfLog(log));
    const rolledUp = await this.#withObject(this.#keys.logIndexKey(name.timeline, log), async (reader) =>
      readPart(reader, place + 1),
    );
    return rolledUp && decodeSegmentIndex(rolledUp);
  }

  async readSummary(name: SegmentName): Promise<SegmentSummary | undefined> {
    const bytes = await this.#withObject(this.#keys.indexKey(name), async (reader) => readPart(reader, 0));
    return bytes && decodeSummary(new BoundedReader(bytes, 'summary of a segment'));
  }

  /** Of every segment of a log, in order; `undefined` where the log is not rolled up. */
  async readLogSummaries(of: Timeline, log: bigint): Promise<SegmentSummary[] | undefined> {
    const bytes = await this.#withObject(this.#keys.logIndexKey(of, log), async (reader) => readPart(reader, 0));
    if (!bytes) return undefined;
    const reader = new BoundedReader(bytes, 'summaries of a log');
    const summaries = Array.from({ length: this.#keys.segmentsPerLog }, () => decodeSummary(reader));
    reader.end();
    return summaries;
  }

  /** The indexes of some segments of a log that is rolled up, `first` to `last` counted in the log from 0. */
  async *readLog(of: Timeline, log: bigint, first: number, last: number): AsyncGenerator<SegmentIndex> {
    const reader = await this.#cluster.openSealed(this.#keys.logIndexKey(of, log));
    try {
      const blobs = await reader.blobs();
      for (const blob of blobs.slice(first + 1, last + 2)) yield decodeSegmentIndex(await reader.read(blob));
    } finally {
      await reader.close();
    }
  }

  async readGroup(of: Timeline, group: bigint): Promise<Group | undefined> {
    const bytes = await this.#withObject(this.#keys.groupKey(of, group), async (reader) => readPart(reader, 0));
    return bytes && decodeGroup(bytes, this.#keys.segmentsPerLog);
  }

  /** Takes the place of what was there: a group says nothing that cannot be found again. */
  async writeGroup(of: Timeline, group: bigint, spans: Group): Promise<void> {
    const parts = [encodeGroup(spans, this.#keys.segmentsPerLog)];
    await this.#cluster.putSealedParts(this.#keys.groupKey(of, group), parts, { replace: true });
  }

  /** What of a timeline's index is rolled up, and which single indexes there are, by their keys' last part. */
  async listNames(of: Timeline): Promise<ReadonlySet<string>> {
    return new Set(await this.#cluster.listNames(`${this.#keys.indexFolder}/${formatTimeline(of)}`));
  }

  /**
   * Rolls a log up if the index of every one of its segments is there; says whether it did. The single objects go
   * when the one that holds them all is durable.
   */
  async rollUpLog(of: Timeline, log: bigint): Promise<boolean> {
    const names = await this.#cluster.listNames(this.#keys.indexLogFolder(of, log));
    if (await this.#cluster.hasObject(this.#keys.logIndexKey(of, log))) {
      // Left by someone who died while removing them.
      for (const name of names) await this.#cluster.deleteObject(`${this.#keys.indexLogFolder(of, log)}/${name}`);
      return true;
    }
    if (names.length < this.#keys.segmentsPerLog) return false;
    const summaries = new ByteWriter(names.length * 64);
    const parts: Uint8Array[] = [summaries.view()];
    for (let place = 0; place < this.#keys.segmentsPerLog; place += 1) {
      const key = this.#keys.indexKey(this.#segmentOf(of, log, place));
      const found = await this.#withObject(key, async (reader) => [
        await readPart(reader, 0),
        await readPart(reader, 1),
      ]);
      const [summary, index] = found ?? [];
      if (!summary || !index) return false;
      summaries.bytes(summary);
      parts.push(index);
    }
    parts[0] = summaries.view();
    await this.#cluster.putSealedParts(this.#keys.logIndexKey(of, log), parts, { replace: true });
    for (let place = 0; place < this.#keys.segmentsPerLog; place += 1) {
      await this.#cluster.deleteObject(this.#keys.indexKey(this.#segmentOf(of, log, place)));
    }
    return true;
  }

  #segmentOf(of: Timeline, log: bigint, place: number): SegmentName {
    return { timeline: of, number: segmentNumber(this.#keys.firstOfLog(log) + BigInt(place)) };
  }

  async #withObject<T>(key: string, read: (reader: SealedReader) => Promise<T>): Promise<T | undefined> {
    let reader: SealedReader;
    try {
      reader = await this.#cluster.openSealed(key);
    } catch (error) {
      if (hasCode(error, 'object-missing')) return undefined;
      throw error;
    }
    try {
      return await read(reader);
    } finally {
      await reader.close();
    }
  }
}

async function readPart(reader: SealedReader, part: number): Promise<Uint8Array> {
  const blobs = await reader.blobs();
  const blob = blobs[part];
  if (!blob) {
    throw new PgrecallError(
      'object-damaged',
      `"${reader.key}" has ${blobs.length} parts; one more is expected at least`,
    );
  }
  return reader.read(blob);
}
