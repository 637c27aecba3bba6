import { Client, DatabaseError, type ClientConfig } from 'pg';
import { hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import { backendType } from '../protocol/backend-message.ts';
import { encodeCopyData, encodeCopyDone, encodeQuery, encodeTerminate } from '../protocol/frontend-message.ts';
import { startReplication, type StartReplication } from '../protocol/replication-command.ts';
import { decodeNextTimeline, type NextTimeline, type ResultSet } from '../protocol/replication-result.ts';
import { BaseBackupStream } from './base-backup-stream.ts';
import { readResults } from './command-results.ts';
import { chooseHost, type HostSession, type ServerRole } from './choose-host.ts';
import { connectionCandidates, type ConnectionOptions } from './connection-uri.ts';
import { ReplicationChannel } from './replication-channel.ts';
import { watchRole } from './server-role.ts';
import { WalStream } from './wal-stream.ts';

export interface ReplicationSessionOptions {
  /** As libpq takes it: a URI, or words like `host=… port=…`. */
  readonly connection: string;
  /** What pg_stat_replication and synchronous_standby_names know us by. */
  readonly applicationName: string;
  readonly connectTimeoutMs?: number;
}

/** WAL is streamed, or there is none of it: the timeline ended at or before where we wanted to begin. */
export type StartedReplication =
  | { readonly kind: 'streaming'; readonly stream: WalStream }
  | { readonly kind: 'timeline-ended'; readonly next: NextTimeline };

/**
 * A physical replication connection: commands of the replication grammar, and WAL as a stream.
 *
 * `pg` connects and authenticates (TLS, SCRAM, .pgpass); from then on the messages are framed here, because pg
 * knows no CopyBoth and would hand every message on through an event.
 */
export class ReplicationSession implements HostSession {
  readonly #channel: ReplicationChannel;

  /** As it was when the session began. */
  readonly role: ServerRole;

  private constructor(channel: ReplicationChannel, role: ServerRole) {
    this.#channel = channel;
    this.role = role;
  }

  /**
   * With several hosts, to the first that is wanted. Throws `connection`, or `server-rights` where the user may not
   * replicate. The password is in no message.
   */
  static async connect(options: ReplicationSessionOptions): Promise<ReplicationSession> {
    return chooseHost(connectionCandidates(options.connection), async (host) =>
      ReplicationSession.#connectTo(host, options),
    );
  }

  static async #connectTo(host: ConnectionOptions, options: ReplicationSessionOptions): Promise<ReplicationSession> {
    const client = new Client(clientConfig(host, options));
    const role = watchRole(client);
    let channel: ReplicationChannel | undefined;
    let lost: Error | undefined;
    client.on('error', (error) => {
      lost = error;
      channel?.fail(error);
    });
    try {
      await client.connect();
    } catch (error) {
      client.connection.stream.destroy();
      throw connectFailure(client, lost ?? error);
    }
    channel = new ReplicationChannel(client.connection.stream);
    return new ReplicationSession(channel, role());
  }

  /** Runs one command. Throws `connection`, `server-rights` or `server-refused` (with `details.sqlState`). */
  async command(text: string): Promise<ResultSet[]> {
    this.#channel.send(encodeQuery(text));
    return readResults(this.#channel, text);
  }

  /** Asks for WAL. Throws as `command` does; no other command can be run until the stream has ended. */
  async startReplication(options: StartReplication): Promise<StartedReplication> {
    const text = startReplication(options);
    this.#channel.send(encodeQuery(text));
    const first = await this.#channel.take();
    if (first.type === backendType.copyBothResponse) {
      return { kind: 'streaming', stream: new WalStream(this.#channel, options.startLsn) };
    }
    this.#channel.putBack([first]);
    const next = decodeNextTimeline(await readResults(this.#channel, text));
    if (!next) throw new PgrecallError('decode', 'the server neither streams WAL nor names a next timeline');
    return { kind: 'timeline-ended', next };
  }

  /** Asks for a base backup, of a server of that version. Throws as `command` does; nothing else can be asked until all is read. */
  async baseBackup(text: string, major: number): Promise<BaseBackupStream> {
    this.#channel.send(encodeQuery(text));
    return BaseBackupStream.begin(this.#channel, major);
  }

  /** Runs a command that takes a document in parts, as UPLOAD_MANIFEST does. Throws as `command` does. */
  async upload(text: string, parts: AsyncIterable<Uint8Array>): Promise<void> {
    this.#channel.send(encodeQuery(text));
    const first = await this.#channel.take();
    if (first.type === backendType.copyInResponse) {
      for await (const part of parts) {
        this.#channel.send(encodeCopyData(part));
        await this.#channel.drained();
      }
      this.#channel.send(encodeCopyDone());
    } else {
      this.#channel.putBack([first]);
    }
    await readResults(this.#channel, text);
  }

  close(): void {
    this.#channel.close(encodeTerminate());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function clientConfig(
  host: ConnectionOptions,
  options: ReplicationSessionOptions,
): ClientConfig & { readonly replication: string } {
  return {
    ...host,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 30_000,
    keepAlive: true,
    // The physical kind, which knows no database.
    replication: 'true',
  };
}

function connectFailure(client: Client, error: unknown): PgrecallError {
  if (hasCode(error, 'connection')) return error;
  // Several addresses of one host, none of which answered.
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const reason = inner instanceof Error ? inner.message : String(inner);
  const sqlState = error instanceof DatabaseError ? error.code : undefined;
  const where = `${client.host} port ${client.port} as ${client.user}`;
  if (sqlState === '42501') {
    return new PgrecallError('server-rights', `${where}: ${reason}`, {
      hint: `ALTER ROLE "${client.user}" REPLICATION`,
      details: { sqlState },
    });
  }
  return new PgrecallError('connection', `cannot connect for replication to ${where}: ${reason}`, {
    ...(reason.includes('pg_hba.conf')
      ? { hint: 'pg_hba.conf needs a line whose database is "replication" for this user and address' }
      : {}),
    details: { host: client.host, port: client.port, ...(sqlState === undefined ? {} : { sqlState }) },
  });
}
