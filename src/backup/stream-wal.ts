import { mkdirSync, rmSync } from 'node:fs';
import type { WalSink } from '../archive/receive-sink.ts';
import { WalWriter } from '../archive/receive-writer.ts';
import { ReplicationSession, type ReplicationSessionOptions } from '../connection/replication-session.ts';
import { sqlStateOf } from '../connection/server-refusal.ts';
import type { WalStream } from '../connection/wal-stream.ts';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { formatLsn, invalidLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentBefore, segmentNumber, segmentOf, segmentStart } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { createTemporarySlot } from '../protocol/replication-command.ts';

/*
 * The WAL that a backup needs, taken over a second connection while the first one brings the files, as pg_basebackup does by
 * default. Whether anybody archives, and how far behind, makes no difference then. A slot that lasts as long as the connection
 * keeps the server from removing WAL; what is stored already is found to be there.
 */

export interface StreamWalOptions {
  readonly session: ReplicationSessionOptions;
  readonly sink: WalSink;
  /** Of this host, for segments under way; it is removed at the end. */
  readonly directory: string;
  readonly segmentBytes: number;
  /** Of the backup, with which a slot is named. */
  readonly id: string;
  readonly timeoutMs: number;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

const waitMs = 1000;
const reportEveryMs = 10_000;
/** configuration_limit_exceeded, object_not_in_prerequisite_state: no slot is left, or there are none. */
const withoutSlot = new Set(['53400', '55000']);

export class StreamWal implements AsyncDisposable {
  readonly #options: StreamWalOptions;
  readonly #session: ReplicationSession;
  readonly #slot: string | undefined;
  readonly #stop = new AbortController();
  #untilLsn: Lsn | undefined;
  readonly #failed = new AbortController();
  #reported = 0;
  #done: Promise<void> = Promise.resolve();

  private constructor(options: StreamWalOptions, session: ReplicationSession, slot: string | undefined) {
    this.#options = options;
    this.#session = session;
    this.#slot = slot;
  }

  /** Before the backup begins: from now on the server keeps its WAL. Throws `connection`, `server-rights`, `server-refused`. */
  static async open(options: StreamWalOptions): Promise<StreamWal> {
    const session = await connectSecond(options.session);
    try {
      const name = `pgrecall_${options.id.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
      return new StreamWal(options, session, await makeSlot(session, name, options.say));
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** Takes WAL from the beginning of the segment of `startLsn` on, beside whatever goes on. */
  begin(timeline: Timeline, startLsn: Lsn): void {
    this.#done = this.#run(timeline, startLsn).catch((error: unknown) => this.#failed.abort(error));
  }

  /** Aborts with what went wrong: without its WAL a backup need not go on. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /**
   * Returns when all WAL up to `stopLsn` is in the repository, durable: whole segments; of a standby, which cannot end one, the last
   * as far as it goes. Throws `wal-not-archived` where it does not come in the time given, and what storing throws.
   */
  async ensure(stopLsn: Lsn, fromStandby: boolean): Promise<void> {
    const { segmentBytes, timeoutMs, signal } = this.#options;
    const last = segmentBefore(stopLsn, segmentBytes);
    this.#untilLsn = fromStandby ? stopLsn : segmentStart(segmentNumber(last + 1n), segmentBytes);
    const timer = setTimeout(() => {
      const to = formatLsn(stopLsn);
      const seconds = Math.round(timeoutMs / 1000);
      const message = `the backup needs WAL up to ${to}, which did not come within ${seconds} s`;
      this.#failed.abort(new PgrecallError('wal-not-archived', message, { details: { endLsn: to } }));
      this.#stop.abort();
    }, timeoutMs);
    try {
      await this.#done;
    } finally {
      clearTimeout(timer);
    }
    this.failed.throwIfAborted();
    signal.throwIfAborted();
  }

  async #run(timeline: Timeline, startLsn: Lsn): Promise<void> {
    const { directory, segmentBytes, sink, signal } = this.#options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const writer = new WalWriter({ directory, segmentBytes, sink, report: () => undefined });
    const from = segmentStart(segmentOf(startLsn, segmentBytes), segmentBytes);
    writer.begin(timeline, from);
    try {
      const started = await this.#session.startReplication({ slot: this.#slot, timeline, startLsn: from });
      if (started.kind === 'timeline-ended') throw otherTimeline(timeline);
      await this.#receive(started.stream, writer, AbortSignal.any([signal, this.#stop.signal]), timeline);
    } finally {
      await writer.letGo();
    }
  }

  async #receive(stream: WalStream, writer: WalWriter, signal: AbortSignal, timeline: Timeline): Promise<void> {
    for (;;) {
      const batch = await stream.receive(waitMs, signal);
      for (const { bytes } of batch.wal) await writer.append(bytes, () => this.#report(stream, writer));
      if (batch.wal.length > 0) writer.sync();
      if (batch.replyRequested || performance.now() - this.#reported > reportEveryMs) this.#report(stream, writer);
      if (this.#untilLsn !== undefined && writer.flushedLsn >= this.#untilLsn) return;
      if (batch.ended === 'timeline') throw otherTimeline(timeline);
      if (batch.ended === 'shutdown') throw new PgrecallError('connection', 'the server is shutting down');
      if (signal.aborted) return;
    }
  }

  #report(stream: WalStream, writer: WalWriter): void {
    this.#reported = performance.now();
    stream.report({
      writtenLsn: writer.position,
      flushedLsn: writer.flushedLsn,
      appliedLsn: invalidLsn,
      time: (BigInt(this.#options.now().getTime()) - 946_684_800_000n) * 1000n,
      replyRequested: false,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#session.close();
    await this.#done;
    rmSync(this.#options.directory, { recursive: true, force: true });
  }
}

async function connectSecond(options: ReplicationSessionOptions): Promise<ReplicationSession> {
  try {
    return await ReplicationSession.connect(options);
  } catch (error) {
    if (!hasCode(error, 'connection') || !/max_wal_senders/.test(error.message)) throw error;
    throw new PgrecallError('connection', error.message, {
      hint: 'a backup over the connection takes two of max_wal_senders: one for the files, one for the WAL that they need',
      details: error.details,
      cause: error,
    });
  }
}

/** `undefined` where the server has none to give: then it may remove WAL that the backup needs, which is noticed. */
async function makeSlot(
  session: ReplicationSession,
  name: string,
  say: (text: string) => void,
): Promise<string | undefined> {
  try {
    await session.command(createTemporarySlot(name));
    return name;
  } catch (error) {
    if (!withoutSlot.has(sqlStateOf(error) ?? '')) throw error;
    say('the server has no replication slot left (max_replication_slots): WAL is taken without one');
    return undefined;
  }
}

function otherTimeline(timeline: Timeline): PgrecallError {
  return new PgrecallError(
    'server-changed',
    `the backup began on timeline ${timeline}, and the server has gone over to another one meanwhile`,
  );
}
