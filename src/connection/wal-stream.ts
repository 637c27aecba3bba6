import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn, lsn, type Lsn } from '../postgres/lsn.ts';
import { backendType, unexpectedMessage } from '../protocol/backend-message.ts';
import { encodeCopyData, encodeCopyDone } from '../protocol/frontend-message.ts';
import {
  decodeReplicationMessage,
  encodeStatusUpdate,
  type StatusUpdate,
  type WalData,
} from '../protocol/replication-message.ts';
import { decodeNextTimeline, type NextTimeline } from '../protocol/replication-result.ts';
import { readResults } from './command-results.ts';
import type { ReplicationChannel } from './replication-channel.ts';

/** What has come since the last time. */
export interface WalBatch {
  /** Contiguous, in order; each `bytes` is a view that is good until the next `receive`. */
  readonly wal: readonly WalData[];
  /** The server waits for a status update. */
  readonly replyRequested: boolean;
  /** How far the server's own WAL went; undefined where nothing has come. */
  readonly serverEndLsn: Lsn | undefined;
  /** The server has sent all that it has of this timeline, or shuts down: nothing more comes. */
  readonly ended: 'timeline' | 'shutdown' | undefined;
}

/** WAL on its way from the server, and our reports on it. */
export class WalStream {
  readonly #channel: ReplicationChannel;
  #expectedLsn: Lsn;

  constructor(channel: ReplicationChannel, startLsn: Lsn) {
    this.#channel = channel;
    this.#expectedLsn = startLsn;
  }

  /**
   * Waits until something has come, `timeoutMs` have passed or `signal` is aborted. Throws `connection` when
   * the connection is lost, `decode` where the WAL is not contiguous, else what the server reported.
   */
  async receive(timeoutMs: number, signal?: AbortSignal): Promise<WalBatch> {
    const messages = await this.#channel.takeAll(timeoutMs, signal);
    const wal: WalData[] = [];
    let replyRequested = false;
    let serverEndLsn: Lsn | undefined;
    for (const [index, { type, body }] of messages.entries()) {
      switch (type) {
        case backendType.copyData: {
          const message = decodeReplicationMessage(body);
          serverEndLsn = message.serverEndLsn;
          if (message.kind === 'wal') wal.push(this.#contiguous(message));
          else replyRequested ||= message.replyRequested;
          break;
        }
        case backendType.copyDone:
          this.#channel.putBack(messages.slice(index + 1));
          return { wal, replyRequested, serverEndLsn, ended: 'timeline' };
        // A server that shuts down ends the command without ending the copy (WalSndDone).
        case backendType.commandComplete:
          return { wal, replyRequested, serverEndLsn, ended: 'shutdown' };
        case backendType.errorResponse:
          // What came with the error is not lost: it is asked for again at the next start.
          this.#channel.putBack(messages.slice(index));
          await readResults(this.#channel, 'streaming WAL');
          break;
        default:
          unexpectedMessage(type, 'the WAL stream');
      }
    }
    return { wal, replyRequested, serverEndLsn, ended: undefined };
  }

  #contiguous(data: WalData): WalData {
    if (data.startLsn !== this.#expectedLsn) {
      throw new PgrecallError(
        'decode',
        `the server sent WAL from ${formatLsn(data.startLsn)} where ${formatLsn(this.#expectedLsn)} was expected`,
      );
    }
    this.#expectedLsn = lsn(data.startLsn + BigInt(data.bytes.length));
    return data;
  }

  report(status: StatusUpdate): void {
    this.#channel.send(encodeCopyData(encodeStatusUpdate(status)));
  }

  /** Makes `receive` throw `connection` with this reason: nothing more is expected of the server. */
  giveUp(reason: string): void {
    this.#channel.fail(new Error(reason));
  }

  /**
   * Ends our half of the copy, or answers that the server has ended its own, and reads what the server says
   * to that: the next timeline where this one has ended. Then the session takes commands again.
   */
  async finish(): Promise<NextTimeline | undefined> {
    this.#channel.send(encodeCopyDone());
    return decodeNextTimeline(await readResults(this.#channel, 'the end of streaming'));
  }
}
