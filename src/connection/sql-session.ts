import pg from 'pg';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { chooseHost, type HostSession, type ServerRole } from './choose-host.ts';
import { connectionCandidates, type ConnectionOptions } from './connection-uri.ts';
import { watchRole } from './server-role.ts';

/*
 * A session for SQL, over the `pg` library. Errors never show the password: they name host, port, user and
 * database as they were resolved.
 */

export interface ConnectOptions {
  readonly applicationName?: string;
  readonly connectTimeoutMs?: number;
  /** Another than the connection names. */
  readonly database?: string;
  /** Gives up when it is aborted; a session that is there stays. */
  readonly signal?: AbortSignal;
}

const defaultConnectTimeoutMs = 10_000;

export class SqlSession implements HostSession {
  readonly #client: pg.Client;
  /** `150018` for 15.18. */
  readonly serverVersion: number;
  /** As it was when the session began. */
  readonly role: ServerRole;
  /** For messages: where the server was found. */
  readonly address: string;
  readonly #lostListeners: ((error: Error) => void)[] = [];
  #lost: Error | undefined;
  #closing = false;

  private constructor(
    client: pg.Client,
    facts: { readonly serverVersion: number; readonly role: ServerRole; readonly address: string },
  ) {
    this.#client = client;
    this.serverVersion = facts.serverVersion;
    this.role = facts.role;
    this.address = facts.address;
    const lose = (error: Error): void => {
      if (this.#closing || this.#lost) return;
      this.#lost = error;
      for (const listener of this.#lostListeners) listener(error);
    };
    client.on('error', lose);
    client.on('end', () => lose(new Error('the connection was closed')));
  }

  /** With several hosts, to the first that is wanted. Throws `connection`, and the signal's reason. */
  static async connect(uri: string, options: ConnectOptions = {}): Promise<SqlSession> {
    return chooseHost(connectionCandidates(uri), async (host) => SqlSession.#connectTo(host, options));
  }

  static async #connectTo(host: ConnectionOptions, options: ConnectOptions): Promise<SqlSession> {
    const resolved = { ...host, database: options.database ?? host.database };
    const client = new pg.Client({
      ...resolved,
      application_name: options.applicationName ?? 'pgrecall',
      connectionTimeoutMillis: options.connectTimeoutMs ?? defaultConnectTimeoutMs,
      keepAlive: true,
    });
    const role = watchRole(client);
    // A connection that ends between two queries of this is told by the next one; without a listener it would end the process.
    client.on('error', () => undefined);
    const { signal } = options;
    signal?.throwIfAborted();
    const giveUp = (): void => socketOf(client).destroy();
    signal?.addEventListener('abort', giveUp);
    try {
      await client.connect();
      const { rows } = await client.query<{ version: string }>(
        "SELECT current_setting('server_version_num') AS version",
      );
      // Times and numbers are read as text in one well-known form, whatever the role's settings are.
      await client.query("SET DateStyle = 'ISO'; SET TimeZone = 'UTC'");
      // A superuser's setting; refused in one statement with the others, it would take those back.
      await client.query("SET lc_messages = 'C'").catch(() => undefined);
      const address = `${host.host}:${host.port}`;
      return new SqlSession(client, { serverVersion: Number(rows[0]?.version), role: role(), address });
    } catch (error) {
      await client.end().catch(() => undefined);
      throw signal?.aborted ? signal.reason : connectionError(error, resolved);
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  get major(): number {
    return Math.floor(this.serverVersion / 10_000);
  }

  /** Rows as objects. Throws what the server reported, with its SQLSTATE in `code`; `connection` where it is gone. */
  async query<T extends object>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    try {
      const { rows } = await this.#client.query<T>(sql, [...parameters]);
      return rows;
    } catch (error) {
      if (error instanceof Error && 'severity' in error && !isShutdown(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new PgrecallError('connection', `the connection to the server is gone: ${reason}`, {
        hint: 'the server was stopped or restarted, or the network was cut',
        cause: error,
      });
    }
  }

  /** Called once when the connection is gone without `close`; at once where it is gone already. */
  onLost(listener: (error: Error) => void): void {
    this.#lostListeners.push(listener);
    if (this.#lost) listener(this.#lost);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#client.end().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** admin_shutdown, crash_shutdown: the server says good-bye on a session that it ends. */
function isShutdown(error: Error): boolean {
  return 'code' in error && (error.code === '57P01' || error.code === '57P02');
}

/** What the library's types leave out. */
function socketOf(client: pg.Client): { readonly destroy: () => void } {
  return (client as unknown as { readonly connection: { readonly stream: { readonly destroy: () => void } } })
    .connection.stream;
}

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'is the server running, and does it listen there?',
  ENOENT: 'is the server running? its socket is not there; a TCP server needs host=localhost',
  ENOTFOUND: 'the host’s name cannot be resolved',
  ETIMEDOUT: 'a firewall may be in between',
  EACCES: 'this user may not use the server’s socket',
  '28P01': 'the password was wrong; put it into ~/.pgpass or PGPASSWORD',
  '28000': 'pg_hba.conf does not let this role in from here',
  '3D000': 'name an existing database in the connection',
  '53300': 'the server has no connection left; raise max_connections or superuser_reserved_connections',
  '57P03': 'the server is starting up, shutting down or recovering; try again in a moment',
};

function connectionError(
  error: unknown,
  resolved: { readonly host: string; readonly port: number; readonly user: string; readonly database: string },
): PgrecallError {
  const where = `${resolved.user}@${resolved.host}:${resolved.port}/${resolved.database}`;
  const inner = error instanceof AggregateError ? (error.errors[0] as Error) : (error as Error);
  const code = 'code' in inner ? String(inner.code) : '';
  const reason = /client password must be/.test(inner.message)
    ? 'the server asks for a password, and none was given'
    : inner.message;
  const hint = hintFor(code, inner.message);
  return new PgrecallError('connection', `cannot connect to ${where}: ${reason}`, {
    ...(hint === undefined ? {} : { hint }),
    details: {
      host: resolved.host,
      port: resolved.port,
      user: resolved.user,
      database: resolved.database,
      reason: code,
    },
    cause: inner,
  });
}

/** `message`: the library's own, where it gives no code. */
function hintFor(code: string, message: string): string | undefined {
  if (/timeout expired/.test(message)) return 'the server did not answer in time';
  if (/client password must be/.test(message)) return 'put it into ~/.pgpass or PGPASSWORD';
  return hints[code];
}
