import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../errors/catalogue.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { startAsStarted, type InterruptedServer } from './stop-and-start.ts';

/** What the keeper is told, one JSON document a line; the end of it is the order to start the server. */
export type KeeperRequest = { readonly kind: 'keep'; readonly server: InterruptedServer } | { readonly kind: 'stop' };

/** What it says. */
export type KeeperReply =
  | { readonly kind: 'keeping' | 'stopped' | 'started' }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint: string | undefined;
      readonly details: Readonly<Record<string, unknown>>;
    };

/**
 * Stops a server and sees to it that it is started again, by a process of its own (keeper-worker.ts) that does so when
 * this one has ended, in whatever way. It keeps the rights that this process had when it was made: root may give up its
 * own meanwhile.
 */
export class ServerKeeper {
  readonly #server: InterruptedServer;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #replies: AsyncIterator<string>;
  #isStopped = false;
  #isOver = false;

  private constructor(server: InterruptedServer) {
    this.#server = server;
    const name = `keeper-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`;
    const module = fileURLToPath(new URL(`./${name}`, import.meta.url));
    this.#child = spawn(process.execPath, [module], {
      // A group and session of its own: the signals of a terminal go to ours.
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    // Of one that has died: seen when it does not answer.
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', () => undefined);
    this.#replies = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Returns when it watches. Throws `server-stop` where it cannot be made; the server has not been touched then. */
  static async begin(server: InterruptedServer): Promise<ServerKeeper> {
    const keeper = new ServerKeeper(server);
    keeper.#tell({ kind: 'keep', server });
    if ((await keeper.#reply())?.kind === 'keeping') return keeper;
    throw new PgrecallError('server-stop', 'the process that would start the server again cannot be started', {
      hint: 'the server has not been stopped',
    });
  }

  /** Whether it was asked to. */
  get wasStopped(): boolean {
    return this.#isStopped;
  }

  /** Throws `server-stop`. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#tell({ kind: 'stop' });
    const reply = await this.#reply();
    if (reply?.kind === 'failed') throw errorOf(reply);
    if (reply?.kind !== 'stopped') {
      throw new PgrecallError('server-stop', 'the process that was to stop the server has ended');
    }
  }

  /**
   * Returns when the server takes connections again; at once where it was not stopped. Throws `server-start`. To be
   * called once, at the end, whatever happened.
   */
  async startAgain(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#child.stdin.end();
    const reply = await this.#reply();
    if (!this.#isStopped || reply?.kind === 'started') return;
    if (reply?.kind === 'failed') throw errorOf(reply);
    // It has been killed: then it is done here, with the rights that are left.
    await startAsStarted(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.startAgain();
  }

  #tell(request: KeeperRequest): void {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  /** `undefined` where it has ended. */
  async #reply(): Promise<KeeperReply | undefined> {
    const next = await this.#replies.next();
    return next.done === true ? undefined : (JSON.parse(next.value) as KeeperReply);
  }
}

function errorOf({ code, message, hint, details }: KeeperReply & { kind: 'failed' }): PgrecallError {
  return new PgrecallError(code, message, { ...(hint === undefined ? {} : { hint }), details });
}
