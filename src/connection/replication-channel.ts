import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { backendType, decodeParameterStatus } from '../protocol/backend-message.ts';
import { MessageFramer, type BackendMessage } from '../protocol/message-framer.ts';

/** More than this waiting to be taken, and the socket is no longer read: TCP then slows the server down. */
const backlogLimitBytes = 4 * 1024 * 1024;

/** So long a server may take to close its end. */
const farewellMs = 1000;

/**
 * The messages of one connection, once it is authenticated: the server's are taken one by one or as many
 * as have come, ours are written.
 *
 * After a failure everything that had come before it can still be taken; then every take throws it.
 */
export class ReplicationChannel {
  readonly #stream: Duplex;
  readonly #framer = new MessageFramer();
  readonly #parameters = new Map<string, string>();
  #waiting: BackendMessage[] = [];
  #waitingBytes = 0;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  /** Takes the stream over: nobody else may read it. */
  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    stream.on('end', () => this.fail(new Error('the server closed the connection')));
    stream.on('close', () => this.fail(new Error('the connection was closed')));
    stream.on('error', (error) => this.fail(error));
  }

  /** What the server said of a parameter since the channel was made. */
  parameter(name: string): string | undefined {
    return this.#parameters.get(name);
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  #receive(chunk: Uint8Array): void {
    if (this.#failure) return;
    try {
      for (const message of this.#framer.push(chunk)) this.#accept(message);
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
      this.#stream.destroy();
    }
    if (this.#waitingBytes > backlogLimitBytes) this.#stream.pause();
    // Half a message wakes nobody.
    if (this.#waiting.length > 0) this.#wake?.();
  }

  #accept(message: BackendMessage): void {
    switch (message.type) {
      case backendType.parameterStatus: {
        const { name, value } = decodeParameterStatus(message.body);
        this.#parameters.set(name, value);
        return;
      }
      case backendType.noticeResponse:
      case backendType.notification:
        return;
      default:
        this.#waiting.push(message);
        this.#waitingBytes += message.body.length;
    }
  }

  /** Makes every later take throw, once what has come is taken. The first failure stays. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** The next message. Throws `connection` where none can come any more. */
  async take(): Promise<BackendMessage> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message) {
        this.#released(message.body.length);
        return message;
      }
      this.#throwFailure();
      await this.#arrival();
    }
  }

  /**
   * All messages that have come, at least one unless `timeoutMs` pass or `signal` is aborted first (then none).
   * What arrives together is taken together, so that one fsync and one reply serve all of it.
   */
  async takeAll(timeoutMs: number, signal?: AbortSignal): Promise<readonly BackendMessage[]> {
    if (this.#waiting.length === 0 && !this.#failure && !signal?.aborted) await this.#arrival(timeoutMs, signal);
    // The event loop reads a socket several times in one turn: let it finish before taking.
    if (this.#waiting.length > 0) await nextTurn();
    const messages = this.#waiting;
    if (messages.length === 0) this.#throwFailure();
    this.#waiting = [];
    this.#released(this.#waitingBytes);
    return messages;
  }

  /** Puts back what was taken too much of, in front. */
  putBack(messages: readonly BackendMessage[]): void {
    this.#waiting = [...messages, ...this.#waiting];
    for (const message of messages) this.#waitingBytes += message.body.length;
  }

  #released(bytes: number): void {
    this.#waitingBytes -= bytes;
    if (this.#waitingBytes <= backlogLimitBytes && this.#stream.isPaused()) this.#stream.resume();
  }

  #throwFailure(): void {
    if (!this.#failure) return;
    if (this.#failure instanceof PgrecallError) throw this.#failure;
    throw new PgrecallError('connection', `lost the connection to the server: ${this.#failure.message}`, {
      cause: this.#failure,
    });
  }

  async #arrival(timeoutMs?: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const done = (): void => {
        if (timer) clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      if (timeoutMs !== undefined) timer = setTimeout(done, timeoutMs);
      signal?.addEventListener('abort', done, { once: true });
      this.#wake = done;
    });
  }

  /** Queues bytes to be sent; what cannot be sent shows as a failure of a later take. */
  send(bytes: Uint8Array): void {
    if (this.#stream.writable) this.#stream.write(bytes);
  }

  /** Returns when what was sent has left this process's memory, or never will. */
  async drained(): Promise<void> {
    if (!this.#stream.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off('drain', done);
        this.#stream.off('close', done);
        resolve();
      };
      this.#stream.on('drain', done);
      this.#stream.on('close', done);
    });
  }

  /** Sends `farewell` and closes; does not wait for a server that has gone. */
  close(farewell: Uint8Array): void {
    this.fail(new Error('the connection was closed'));
    this.#stream.resume();
    if (this.#stream.writable) this.#stream.end(farewell);
    setTimeout(() => this.#stream.destroy(), farewellMs).unref();
  }
}
