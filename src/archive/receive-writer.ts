import { join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { invalidLsn, lsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, parseSegmentName, segmentOf, segmentStart } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { ReceiveEvent } from './receive-events.ts';
import { StoringQueue } from './receive-queue.ts';
import { partialPath, ReceivingSegment, readLeftBehind, removeReceived } from './receive-segment.ts';
import type { WalSink } from './receive-sink.ts';

export interface WalWriterOptions {
  /** Where segments are while they are received. */
  readonly directory: string;
  readonly segmentBytes: number;
  readonly sink: WalSink;
  readonly report: (event: ReceiveEvent) => void;
}

export interface BegunSegment {
  readonly name: string;
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
}

/** Turns WAL as it comes into segments: on this host's disk at once, in the repository when whole. */
export class WalWriter {
  readonly #options: WalWriterOptions;
  #queue: StoringQueue;
  #segment: ReceivingSegment | undefined;
  #timeline: Timeline | undefined;
  #position: Lsn = invalidLsn;
  #flushed: Lsn = invalidLsn;
  #segmentsStored = 0;
  #background: Promise<void> = Promise.resolve();
  #backgroundFailure: Error | undefined;
  /** The segment whose beginning was stored last, and how much of it. */
  #partialStored: { readonly name: string; readonly bytes: number } | undefined;

  constructor(options: WalWriterOptions) {
    this.#options = options;
    this.#queue = this.#newQueue();
  }

  get timeline(): Timeline | undefined {
    return this.#timeline;
  }

  /** Where the next WAL belongs. */
  get position(): Lsn {
    return this.#position;
  }

  /** Everything before it survives a power cut of this host; 0/0 before anything has come. */
  get flushedLsn(): Lsn {
    return this.#flushed;
  }

  get segmentsStored(): number {
    return this.#segmentsStored;
  }

  #newQueue(): StoringQueue {
    return new StoringQueue(this.#options.sink, (name) => {
      this.#segmentsStored += 1;
      this.#options.report({ kind: 'segment-stored', name });
    });
  }

  /**
   * Brings what an earlier run has left here into the repository: whole segments, which then leave this host, and
   * beginnings, which stay. Returns the latter.
   */
  async storeLeftBehind(): Promise<BegunSegment[]> {
    const { directory, segmentBytes, sink } = this.#options;
    this.#queue = this.#newQueue();
    const left = readLeftBehind(directory);
    for (const name of left.whole) await this.#queue.add(name, join(directory, name));
    await this.#queue.drain();
    for (const name of left.begun) {
      if (this.#partialStored?.name !== name) await sink.partial(name, partialPath(directory, name));
    }
    return left.begun.map((name) => {
      const { timeline, number } = parseSegmentName(name, segmentBytes);
      return { name, timeline, startLsn: segmentStart(number, segmentBytes) };
    });
  }

  /** Forgets a beginning that `storeLeftBehind` has stored and that will not be gone on with. */
  abandon(segment: BegunSegment): void {
    removeReceived(partialPath(this.#options.directory, segment.name));
  }

  /** WAL comes from `startLsn` on, the first byte of a segment. */
  begin(timeline: Timeline, startLsn: Lsn): void {
    this.#timeline = timeline;
    this.#position = startLsn;
    this.#flushed = startLsn;
  }

  /** Writes; `segmentFlushed` is called whenever a segment has become whole, and so is flushed. */
  async append(bytes: Uint8Array, segmentFlushed: () => void): Promise<void> {
    for (let rest = bytes; rest.length > 0;) {
      const segment = (this.#segment ??= this.#openSegment());
      const taken = segment.append(rest);
      rest = rest.subarray(taken);
      this.#position = lsn(this.#position + BigInt(taken));
      if (!segment.whole) continue;
      // The file must not change its name while its beginning is being read.
      await this.#background;
      const path = segment.complete();
      this.#segment = undefined;
      this.#flushed = this.#position;
      segmentFlushed();
      await this.#queue.add(segment.name, path);
    }
  }

  /** Everything appended is flushed when this returns. */
  sync(): void {
    this.#segment?.sync();
    this.#flushed = this.#position;
  }

  #openSegment(): ReceivingSegment {
    const { directory, segmentBytes } = this.#options;
    if (this.#timeline === undefined) throw new PgrecallError('bug', 'WAL without a timeline');
    const number = segmentOf(this.#position, segmentBytes);
    const name = formatSegmentName({ timeline: this.#timeline, number }, segmentBytes);
    return new ReceivingSegment(directory, name, segmentBytes);
  }

  /** Puts the beginning of the present segment into the repository, beside what goes on; throws what the last time threw. */
  storePartialInBackground(): void {
    if (this.#backgroundFailure) throw this.#backgroundFailure;
    this.#background = this.#background
      .then(async () => this.#storePartial())
      .catch((error: unknown) => {
        this.#backgroundFailure = error instanceof Error ? error : new Error(String(error));
      });
  }

  async #storePartial(): Promise<void> {
    const segment = this.#segment;
    if (!segment || segment.whole || segment.worthBytes === 0) return;
    const stored = this.#partialStored;
    const bytes = segment.worthBytes;
    if (stored?.name === segment.name && stored.bytes >= bytes) return;
    const startLsn = segmentStart(segmentOf(this.#position, this.#options.segmentBytes), this.#options.segmentBytes);
    segment.sync();
    await this.#options.sink.partial(segment.name, segment.path, bytes);
    this.#partialStored = { name: segment.name, bytes };
    this.#options.report({
      kind: 'partial-stored',
      name: segment.name,
      untilLsn: lsn(startLsn + BigInt(bytes)),
    });
  }

  /** The timeline has ended: its last segment stays the beginning that it is, in the repository. */
  async endTimeline(): Promise<void> {
    const segment = this.#segment;
    await this.letGo();
    if (segment) removeReceived(segment.path);
  }

  /** Brings everything received to where it is safe, and lets go of the files. */
  async letGo(): Promise<void> {
    await this.#background;
    this.#backgroundFailure = undefined;
    try {
      await this.#queue.drain();
      await this.#storePartial();
    } finally {
      const segment = this.#segment;
      this.#segment = undefined;
      segment?.close();
    }
  }
}
