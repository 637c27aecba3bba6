import { setTimeout as sleep } from 'node:timers/promises';
import { sqlStateOf } from '../connection/server-refusal.ts';
import { ReplicationSession } from '../connection/replication-session.ts';
import type { WalBatch, WalStream } from '../connection/wal-stream.ts';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import { invalidLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentOf, segmentStart } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { NextTimeline } from '../protocol/replication-result.ts';
import type { ReceiveEvent, ReceiveResult } from './receive-events.ts';
import { planStart, type ReceiveStart } from './receive-plan.ts';
import {
  explainRefusal,
  identify,
  isPassing,
  prepareSlot,
  readChain,
  storeHistory,
  type ExpectedCluster,
} from './receive-server.ts';
import type { WalSink } from './receive-sink.ts';
import { WalWriter } from './receive-writer.ts';

/*
 * The streaming receiver: WAL as the server writes it, through a physical replication slot.
 *
 * A batch of WAL is written to the segment's file on this host, synced, and only then reported as flushed, at
 * once: the server may be waiting to tell a client that its transaction is committed. A segment that is whole
 * goes into the repository while the next one is being received; the beginning of the present one goes there
 * at intervals, when the timeline ends, when the connection is lost and at the end, so that a restore has it.
 * After any crash the segment begun is received again from its beginning and compared with what is there.
 */

export interface ReceiverOptions {
  readonly cluster: ExpectedCluster;
  readonly connection: string;
  readonly applicationName: string;
  readonly slot: string;
  /** Where segments are while they are received. */
  readonly directory: string;
  readonly sink: WalSink;
  /** What the archive holds at this moment. */
  readonly archived: () => Promise<readonly { readonly timeline: Timeline; readonly endLsn: Lsn }[]>;
  readonly report: (event: ReceiveEvent) => void;
  readonly now: () => Date;
  /** Ends receiving: what has come is flushed, reported and stored first. */
  readonly signal: AbortSignal;
  /** How often the beginning of the present segment goes into the repository. */
  readonly partialIntervalMs: number;
  /** Receiving ends when everything before it is flushed and stored. */
  readonly untilLsn?: Lsn | undefined;
  /** Receiving ends when nothing has come for so long. */
  readonly idleExitMs?: number | undefined;
  /** Goes on with what the server still has where it lacks WAL that the archive lacks, too. */
  readonly acceptGap?: boolean | undefined;
}

/** The server hears of us at least so often (its wal_sender_timeout is 60 s unless set otherwise). */
const reportIntervalMs = 10_000;
/** A server that says nothing for so long, though asked to, is gone. */
const silenceLimitMs = 60_000;
const firstRetryMs = 500;
const longestRetryMs = 30_000;
const farewellMs = 5_000;

/**
 * Receives until `signal` is aborted or what the options say is reached; connects again after passing failures.
 * Throws `wal-other-cluster`, `wal-other-content`, `wal-gap`, `slot`, `server-rights`, and `connection` where not even
 * the first connection came about.
 */
export async function receiveWal(options: ReceiverOptions): Promise<ReceiveResult> {
  return new Receiver(options).run();
}

class Receiver {
  readonly #options: ReceiverOptions;
  readonly #writer: WalWriter;
  #connected = false;
  #retryMs = firstRetryMs;
  #partialDueMs = 0;
  /** When the server was last heard, and when it last sent WAL. */
  #heardMs = 0;
  #dataMs = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    const { directory, sink, report } = options;
    this.#writer = new WalWriter({ directory, sink, report, segmentBytes: options.cluster.segmentBytes });
  }

  async run(): Promise<ReceiveResult> {
    const { signal, report } = this.#options;
    // Before anything else: the server that sent it may be gone for good.
    await this.#writer.storeLeftBehind();
    while (!signal.aborted) {
      try {
        await this.#connectAndReceive();
        break;
      } catch (error) {
        // The server's going away takes nothing from what was received; a failure to store it does.
        if (signal.aborted && hasCode(error, 'connection')) break;
        if (signal.aborted || !this.#mayRetry(error)) throw error;
        report({
          kind: 'lost',
          error: error instanceof Error ? error : new Error(String(error)),
          retryMs: this.#retryMs,
        });
        await sleep(this.#retryMs, undefined, { signal }).catch(() => undefined);
        this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
      }
    }
    const { timeline, flushedLsn, segmentsStored } = this.#writer;
    return { timeline, flushedLsn: flushedLsn === invalidLsn ? undefined : flushedLsn, segmentsStored };
  }

  /** At the first connection only a server that is starting up is waited for: anything else is a mistake to report. */
  #mayRetry(error: unknown): boolean {
    return isPassing(error) && (this.#connected || sqlStateOf(error) === '57P03');
  }

  async #connectAndReceive(): Promise<void> {
    const { connection, applicationName, cluster, sink, report } = this.#options;
    using session = await ReplicationSession.connect({ connection, applicationName });
    const identity = await identify(session, cluster);
    this.#connected = true;
    try {
      let { timeline, startLsn } = await this.#prepare(session, identity.timeline, identity.positionLsn);
      for (;;) {
        const next = await this.#receiveTimeline(session, timeline, startLsn);
        if (!next) return;
        report({ kind: 'timeline-ended', timeline, next: next.timeline, switchLsn: next.switchLsn });
        await storeHistory(session, next.timeline, sink);
        timeline = next.timeline;
        startLsn = this.#segmentStart(next.switchLsn);
        report({ kind: 'streaming', timeline, startLsn, after: 'branch' });
      }
    } finally {
      await this.#writer.letGo();
    }
  }

  /** Stores what earlier runs have left behind, and decides where to begin. */
  async #prepare(session: ReplicationSession, timeline: Timeline, positionLsn: Lsn): Promise<ReceiveStart> {
    const { cluster, connection, sink, slot, archived, report } = this.#options;
    const { made, restartLsn } = await prepareSlot(session, slot, connection);
    if (made) report({ kind: 'slot-made', slot });
    const chain = await readChain(session, timeline, sink);
    const begun = await this.#writer.storeLeftBehind();
    const planned = planStart({
      segmentBytes: cluster.segmentBytes,
      chain,
      positionLsn,
      archived: await archived(),
      begun,
      slotLsn: restartLsn,
    });
    if (planned.unrelated) report({ kind: 'unrelated', timeline: planned.timeline });
    const start = await this.#acceptingGap(session, planned, restartLsn ?? positionLsn);
    for (const segment of begun) {
      const goesOn = segment.timeline === start.timeline && segment.startLsn === start.startLsn;
      if (!goesOn) this.#writer.abandon(segment);
    }
    report({ kind: 'streaming', timeline: start.timeline, startLsn: start.startLsn, after: start.after });
    return start;
  }

  /** Where the server lacks what the plan wants, and a gap is accepted: the oldest place that the server still has. */
  async #acceptingGap(session: ReplicationSession, start: ReceiveStart, oldestLsn: Lsn): Promise<ReceiveStart> {
    const { acceptGap, slot, report } = this.#options;
    const later = this.#segmentStart(oldestLsn);
    if (acceptGap !== true || later <= start.startLsn) return start;
    try {
      const started = await session.startReplication({ slot, timeline: start.timeline, startLsn: start.startLsn });
      if (started.kind === 'timeline-ended') return start;
      let batch: WalBatch;
      do batch = await started.stream.receive(reportIntervalMs);
      while (batch.wal.length === 0 && batch.ended === undefined);
      await started.stream.finish();
      return start;
    } catch (error) {
      const explained = explainRefusal(error, slot, start.startLsn);
      if (!hasCode(explained, 'wal-gap')) throw explained;
      report({ kind: 'gap-accepted', fromLsn: start.startLsn, toLsn: later });
      return { ...start, startLsn: later, after: 'slot' };
    }
  }

  /** Receives one timeline to its end. Returns what follows it, or undefined where receiving is to end. */
  async #receiveTimeline(
    session: ReplicationSession,
    timeline: Timeline,
    startLsn: Lsn,
  ): Promise<NextTimeline | undefined> {
    const { slot } = this.#options;
    this.#writer.begin(timeline, startLsn);
    try {
      const started = await session.startReplication({ slot, timeline, startLsn });
      return started.kind === 'timeline-ended' ? started.next : await this.#receiveStream(started.stream);
    } catch (error) {
      throw explainRefusal(error, slot, this.#writer.position);
    }
  }

  async #receiveStream(stream: WalStream): Promise<NextTimeline | undefined> {
    const { partialIntervalMs, signal } = this.#options;
    this.#heardMs = this.#dataMs = performance.now();
    this.#partialDueMs = this.#heardMs + partialIntervalMs;
    const reporting = setInterval(() => this.#reportStatus(stream), reportIntervalMs);
    try {
      for (;;) {
        const batch = await stream.receive(this.#waitMs(), signal);
        await this.#keep(batch, stream);
        if (batch.ended === 'timeline') return await this.#endTimeline(stream);
        if (batch.ended === 'shutdown') throw new PgrecallError('connection', 'the server is shutting down');
        if (this.#shouldEnd()) {
          await this.#farewell(stream);
          return undefined;
        }
        if (performance.now() >= this.#partialDueMs) {
          this.#partialDueMs = performance.now() + partialIntervalMs;
          this.#writer.storePartialInBackground();
        }
      }
    } finally {
      clearInterval(reporting);
    }
  }

  /** Writes, syncs, reports: in this order. */
  async #keep(batch: WalBatch, stream: WalStream): Promise<void> {
    if (batch.serverEndLsn !== undefined) this.#heardMs = performance.now();
    for (const { bytes } of batch.wal) await this.#writer.append(bytes, () => this.#reportStatus(stream));
    if (batch.wal.length > 0) {
      this.#writer.sync();
      this.#dataMs = performance.now();
      this.#retryMs = firstRetryMs;
    }
    if (batch.wal.length > 0 || batch.replyRequested) this.#reportStatus(stream);
  }

  #reportStatus(stream: WalStream): void {
    const silentMs = performance.now() - this.#heardMs;
    stream.report({
      writtenLsn: this.#writer.position,
      flushedLsn: this.#writer.flushedLsn,
      // Nothing is replayed here.
      appliedLsn: invalidLsn,
      time: (BigInt(this.#options.now().getTime()) - 946_684_800_000n) * 1000n,
      replyRequested: silentMs > silenceLimitMs / 2,
    });
    if (silentMs > silenceLimitMs) stream.giveUp(`the server has been silent for ${Math.round(silentMs / 1000)} s`);
  }

  #waitMs(): number {
    const { idleExitMs } = this.#options;
    const now = performance.now();
    const idle = idleExitMs === undefined ? reportIntervalMs : this.#dataMs + idleExitMs - now;
    return Math.max(1, Math.min(reportIntervalMs, idle, this.#partialDueMs - now));
  }

  #shouldEnd(): boolean {
    const { signal, untilLsn, idleExitMs } = this.#options;
    if (signal.aborted) return true;
    if (untilLsn !== undefined && this.#writer.flushedLsn >= untilLsn) return true;
    return idleExitMs !== undefined && performance.now() - this.#dataMs >= idleExitMs;
  }

  async #endTimeline(stream: WalStream): Promise<NextTimeline> {
    const next = await stream.finish();
    if (!next) throw new PgrecallError('connection', 'the server ended the stream without naming a next timeline');
    await this.#writer.endTimeline();
    return next;
  }

  /** Says what is flushed, and ends the stream in good order; a server that does not answer is not waited for. */
  async #farewell(stream: WalStream): Promise<void> {
    this.#reportStatus(stream);
    const ended = stream.finish().catch(() => undefined);
    await Promise.race([ended, sleep(farewellMs, undefined, { ref: false })]);
  }

  #segmentStart(position: Lsn): Lsn {
    const { segmentBytes } = this.#options.cluster;
    return segmentStart(segmentOf(position, segmentBytes), segmentBytes);
  }
}
