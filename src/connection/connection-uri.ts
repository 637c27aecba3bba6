import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { parse } from 'pg-connection-string';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Connections as libpq takes them (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING): a URI, or
 * `host=… port=…` words with quotes; what is missing comes from PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE. Several
 * hosts are tried in their order until one has the role that target_session_attrs wants. What we do not know is refused:
 * passed over, it could lead to another server than the one that was meant.
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

const targetAttributes = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;

/** Which of several hosts is wanted. */
export type TargetAttributes = (typeof targetAttributes)[number];

/** Hosts in the order in which they are tried. */
export interface ConnectionCandidates {
  readonly hosts: readonly ConnectionOptions[];
  readonly wanted: TargetAttributes;
}

const socketDirectories = ['/var/run/postgresql', '/run/postgresql', '/tmp'];

const knownWords = new Set([
  ...['host', 'hostaddr', 'port', 'user', 'password', 'dbname', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey'],
  'target_session_attrs',
  // These have no say in which server is reached, and as whom.
  ...['application_name', 'fallback_application_name', 'client_encoding', 'connect_timeout', 'tcp_user_timeout'],
  ...['keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'gssencmode', 'channel_binding'],
]);

/**
 * Of the first host, where there are several: all others have the same user, database and password. Throws
 * `config-invalid` where it cannot be read; what stands there is in no message, it may be a password.
 */
export function connectionOptions(text: string, env: NodeJS.ProcessEnv = process.env): ConnectionOptions {
  const [first] = connectionCandidates(text, env).hosts;
  if (!first) throw unreadable('it names no host');
  return first;
}

/** Throws as `connectionOptions` does. */
export function connectionCandidates(text: string, env: NodeJS.ProcessEnv = process.env): ConnectionCandidates {
  const words = connectionWords(text);
  const user = words['user'] ?? env['PGUSER'] ?? userInfo().username;
  const database = words['dbname'] ?? env['PGDATABASE'] ?? 'postgres';
  const { password } = words;
  const hosts = readAddresses(words, env).map(({ host, port }): ConnectionOptions => {
    const ssl = host.startsWith('/') ? undefined : tlsOptions(words, env);
    return {
      host,
      port,
      user,
      database,
      ...(password === undefined ? {} : { password }),
      ...(ssl === undefined ? {} : { ssl }),
    };
  });
  return { hosts, wanted: readWanted(words['target_session_attrs'] ?? env['PGTARGETSESSIONATTRS'] ?? 'any') };
}

/** The same connection to one server, which was found by other means. Throws as `connectionOptions` does. */
export function connectionTo(
  text: string,
  server: { readonly host: string; readonly port: number },
  env: NodeJS.ProcessEnv = process.env,
): string {
  const { hostaddr: _address, target_session_attrs: _wanted, ...words } = connectionWords(text);
  const { user, database } = connectionOptions(text, env);
  return Object.entries({ ...words, user, dbname: database, host: server.host, port: String(server.port) })
    .map(([word, value]) => `${word}='${(value ?? '').replaceAll(/[\\']/g, '\\$&')}'`)
    .join(' ');
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
    const { first, hosts, ports } = splitHosts(address);
    const { host, port, user, password, database } = parse(first);
    const words: Record<string, string> = {};
    const parts = { host: hosts ?? host, port: ports ?? port, user, password, dbname: database };
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

/** `user@a:1,b:2/db` is no URI to anybody but libpq: the hosts as lists, and the address with none. */
function splitHosts(address: string): {
  readonly first: string;
  readonly hosts?: string;
  readonly ports?: string;
} {
  const match = /^(\w+:\/\/(?:[^/]*@)?)([^/@]*)(.*)$/s.exec(address);
  const [, before = '', list = '', after = ''] = match ?? [];
  if (!list.includes(',')) return { first: address };
  const parts = list.split(',').map((part) => /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(part));
  if (parts.includes(null)) throw unreadable('it is not a URI that can be read');
  const hosts = parts.map((part) => decodeURIComponent((part?.[1] ?? '').replaceAll(/^\[|\]$/g, '')));
  const ports = parts.map((part) => part?.[2] ?? '');
  return {
    // A host for the URI's sake.
    first: `${before}host${after}`,
    hosts: hosts.join(','),
    ...(ports.every((port) => port === '') ? {} : { ports: ports.join(',') }),
  };
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

/** hostaddr, host and port may each be a list: of one length, or a single port for all. */
function readAddresses(words: Words, env: NodeJS.ProcessEnv): { readonly host: string; readonly port: number }[] {
  const names = (words['hostaddr'] ?? words['host'] ?? env['PGHOST'] ?? '').split(',');
  const ports = (words['port'] ?? env['PGPORT'] ?? '').split(',');
  const unequal =
    (ports.length > 1 && ports.length !== names.length) ||
    (words['hostaddr'] !== undefined &&
      words['host'] !== undefined &&
      words['host'].split(',').length !== names.length);
  if (unequal) throw unreadable('it does not name as many ports and addresses as hosts');
  return names.map((name, index) => {
    const port = readPort((ports.length === 1 ? ports[0] : ports[index]) || '5432');
    return { host: name === '' ? defaultHost(port) : name, port };
  });
}

function readWanted(text: string): TargetAttributes {
  const wanted = targetAttributes.find((known) => known === text);
  if (wanted) return wanted;
  throw unreadable(`target_session_attrs is "${text}"; expected ${targetAttributes.join(', ')}`);
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
