/*
 * primary_conninfo as libpq reads it. A password never stands there: the file is in every base backup of the standby. It
 * stands in a passfile of its own, which libpq wants to be readable to its owner alone.
 */

export interface ConninfoParts {
  /** Those of the configured connection, by libpq's names. */
  readonly words: Readonly<Record<string, string | undefined>>;
  /** What these leave open, as it was resolved. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** What pg_stat_replication and synchronous_standby_names know the standby by. */
  readonly name: string;
  readonly passfile: string | undefined;
}

export function primaryConninfo(parts: ConninfoParts): string {
  const { dbname: _database, password: _password, fallback_application_name: _fallback, ...words } = parts.words;
  const { host = parts.host, port = String(parts.port), user = parts.user, ...rest } = words;
  return formatWords({ host, port, user, ...rest, application_name: parts.name, passfile: parts.passfile });
}

/** As libpq reads them; those without a value are left out. */
export function formatWords(words: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(words)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([key, value]) => `${key}=${quoteWord(value)}`)
    .join(' ');
}

function quoteWord(value: string): string {
  return /^[\w./:@,+-]+$/.test(value) ? value : `'${value.replaceAll(/[\\']/g, '\\$&')}'`;
}

/** A line of a passfile (https://www.postgresql.org/docs/18/libpq-pgpass.html) for any server: hosts may change. */
export function passfileLine(user: string, password: string): string {
  const escape = (text: string): string => text.replaceAll(/[\\:]/g, '\\$&');
  return `*:*:*:${escape(user)}:${escape(password)}\n`;
}

/** A name for a standby and its slot that PostgreSQL takes for both, made of that of its directory. */
export function nameFromDirectory(cluster: string, directory: string): string {
  const last = directory.split('/').findLast((part) => part !== '') ?? '';
  const name = `${cluster}_${last}`.toLowerCase().replaceAll(/[^a-z0-9_]+/g, '_');
  return `standby_${name}`.slice(0, 63);
}
