import { userInfo } from 'node:os';
import { existsSync } from 'node:fs';
import { parse } from 'pg-connection-string';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Connections as libpq takes them (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING): a URI, or
 * `host=… port=…` words with quotes; what is missing comes from PGHOST, PGPORT, PGUSER, PGDATABASE.
 */

export interface ConnectionOptions {
  /** A host's name, an address, or a directory of sockets. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password?: string;
  readonly ssl?: boolean | { readonly rejectUnauthorized: boolean };
}

const socketDirectories = ['/var/run/postgresql', '/run/postgresql', '/tmp'];

/** Throws `config-invalid` where it cannot be read. */
export function connectionOptions(text: string, env: NodeJS.ProcessEnv = process.env): ConnectionOptions {
  const words = /^postgres(ql)?:\/\//i.test(text) ? fromUri(text) : fromKeyValue(text);
  const user = words['user'] ?? env['PGUSER'] ?? userInfo().username;
  const port = Number(words['port'] ?? env['PGPORT'] ?? 5432);
  const host = words['host'] ?? words['hostaddr'] ?? env['PGHOST'] ?? defaultHost(port);
  const ssl = sslOption(words['sslmode'] ?? env['PGSSLMODE']);
  const password = words['password'];
  return {
    host,
    port,
    user,
    database: words['dbname'] ?? words['database'] ?? env['PGDATABASE'] ?? 'postgres',
    ...(password === undefined ? {} : { password }),
    ...(ssl === undefined || host.startsWith('/') ? {} : { ssl }),
  };
}

type Words = Readonly<Record<string, string | undefined>>;

function fromUri(text: string): Words {
  try {
    // The library wants a host; an empty one stands for the default socket.
    const parsed = parse(text) as unknown as Record<string, string | null | undefined>;
    const words: Record<string, string> = {};
    for (const name of ['host', 'port', 'user', 'password', 'database', 'sslmode']) {
      const value = parsed[name];
      if (typeof value === 'string' && value !== '') words[name] = value;
    }
    return words;
  } catch (error) {
    throw new PgrecallError('config-invalid', 'the connection is not a URI that can be read', { cause: error });
  }
}

function fromKeyValue(text: string): Words {
  const words: Record<string, string> = {};
  const pattern = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))/gy;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    words[match[1] ?? ''] = (match[2] ?? match[3] ?? '').replaceAll(/\\(.)/g, '$1');
    end = match.index + match[0].length;
  }
  if (text.slice(end).trim() !== '') {
    throw new PgrecallError('config-invalid', 'the connection is neither a URI nor key=value words', {
      hint: 'for instance postgresql://user@host:5432/postgres, or host=/run/postgresql user=postgres',
    });
  }
  return words;
}

function defaultHost(port: number): string {
  return socketDirectories.find((directory) => existsSync(`${directory}/.s.PGSQL.${port}`)) ?? 'localhost';
}

function sslOption(mode: string | undefined): ConnectionOptions['ssl'] | undefined {
  switch (mode) {
    case 'require':
      return { rejectUnauthorized: false };
    case 'verify-ca':
    case 'verify-full':
      return { rejectUnauthorized: true };
    default:
      return undefined;
  }
}
