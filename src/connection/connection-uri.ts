import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { parse } from 'pg-connection-string';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Connections as libpq takes them (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING): a URI, or
 * `host=… port=…` words with quotes; what is missing comes from PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE. What we
 * do not know is refused: passed over, it could lead to another server than the one that was meant.
 */

export interface ConnectionOptions {
  /** A host's name, an address, or a directory of sockets. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password?: string;
  readonly ssl?: boolean | TlsOptions;
}

export interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  /** Contents of sslrootcert, sslcert and sslkey. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const socketDirectories = ['/var/run/postgresql', '/run/postgresql', '/tmp'];

const knownWords = new Set([
  ...['host', 'hostaddr', 'port', 'user', 'password', 'dbname', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey'],
  // These have no say in which server is reached, and as whom.
  ...['application_name', 'fallback_application_name', 'client_encoding', 'connect_timeout', 'tcp_user_timeout'],
  ...['keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'gssencmode', 'channel_binding'],
]);

/** Throws `config-invalid` where it cannot be read; what stands there is in no message, it may be a password. */
export function connectionOptions(text: string, env: NodeJS.ProcessEnv = process.env): ConnectionOptions {
  const words = connectionWords(text);
  const user = words['user'] ?? env['PGUSER'] ?? userInfo().username;
  const port = readPort(words['port'] ?? env['PGPORT'] ?? '5432');
  const host = words['hostaddr'] ?? words['host'] ?? env['PGHOST'] ?? defaultHost(port);
  if (host.includes(',')) throw unreadable('it names several hosts, and a backup is of one server');
  const { password } = words;
  const ssl = host.startsWith('/') ? undefined : tlsOptions(words, env);
  return {
    host,
    port,
    user,
    database: words['dbname'] ?? env['PGDATABASE'] ?? 'postgres',
    ...(password === undefined ? {} : { password }),
    ...(ssl === undefined ? {} : { ssl }),
  };
}

/** What stands there, by libpq's names for it. Throws `config-invalid`. */
export function connectionWords(text: string): Words {
  const words = isUri(text) ? fromUri(text) : fromKeyValue(text);
  for (const word of Object.keys(words)) {
    if (!knownWords.has(word)) throw unreadable(`"${word}" is not a connection parameter that pgrecall knows`);
  }
  return words;
}

/** Whether a password stands in it. */
export function holdsPassword(text: string): boolean {
  try {
    return connectionOptions(text).password !== undefined;
  } catch {
    return /password|:[^/@]*@/i.test(text);
  }
}

type Words = Readonly<Record<string, string | undefined>>;

function isUri(text: string): boolean {
  return /^postgres(ql)?:\/\//i.test(text);
}

function fromUri(text: string): Words {
  const at = text.indexOf('?');
  const [address, query] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  try {
    const { host, port, user, password, database } = parse(address);
    const words: Record<string, string> = {};
    const parts = { host, port, user, password, dbname: database };
    for (const [name, value] of Object.entries(parts)) if (value) words[name] = value;
    for (const pair of query.split('&')) {
      const [name = '', value = ''] = pair.split(/=(.*)/s).map((part) => decodeURIComponent(part));
      if (name !== '' && value !== '') words[name === 'database' ? 'dbname' : name] = value;
    }
    return words;
  } catch {
    throw unreadable('it is not a URI that can be read');
  }
}

function fromKeyValue(text: string): Words {
  const words: Record<string, string> = {};
  const pattern = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))/gsy;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    words[match[1] ?? ''] = (match[2] ?? match[3] ?? '').replaceAll(/\\(.)/gs, '$1');
    end = match.index + match[0].length;
  }
  if (text.slice(end).trim() !== '') throw unreadable('it is neither a URI nor key=value words');
  return Object.fromEntries(Object.entries(words).filter(([, value]) => value !== ''));
}

function readPort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw unreadable(`the port is "${text}"; expected a number from 1 to 65535`);
}

function defaultHost(port: number): string {
  return socketDirectories.find((directory) => existsSync(`${directory}/.s.PGSQL.${port}`)) ?? 'localhost';
}

const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];

function tlsOptions(words: Words, env: NodeJS.ProcessEnv): ConnectionOptions['ssl'] | undefined {
  const mode = words['sslmode'] ?? env['PGSSLMODE'] ?? 'prefer';
  if (!sslModes.includes(mode)) throw unreadable(`sslmode is "${mode}"; expected ${sslModes.join(', ')}`);
  if (mode === 'disable' || mode === 'allow' || mode === 'prefer') return undefined;
  const ca = readPem('sslrootcert', words['sslrootcert'] ?? env['PGSSLROOTCERT']);
  const cert = readPem('sslcert', words['sslcert'] ?? env['PGSSLCERT']);
  const key = readPem('sslkey', words['sslkey'] ?? env['PGSSLKEY']);
  return {
    rejectUnauthorized: mode !== 'require' || ca !== undefined,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function readPem(name: string, path: string | undefined): string | undefined {
  // "system": the authorities that Node trusts anyway.
  if (path === undefined || path === 'system') return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new PgrecallError('config-invalid', `the connection's ${name} "${path}" cannot be read`, { cause: error });
  }
}

function unreadable(problem: string): PgrecallError {
  return new PgrecallError('config-invalid', `the connection cannot be used: ${problem}`, {
    hint: 'for instance postgresql://user@host:5432/postgres, or host=/run/postgresql user=postgres',
  });
}
