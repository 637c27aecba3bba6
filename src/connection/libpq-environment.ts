import { connectionCandidates, connectionWords } from './connection-uri.ts';

/*
 * A connection as PostgreSQL's own programs take it from their environment
 * (https://www.postgresql.org/docs/18/libpq-envars.html). Nothing of it is in their arguments, which everybody on the host
 * can read; and no name of a database, whatever is in it, is taken for more than a name.
 */

/** Words that are handed on as they stand; the others are resolved, or have no variable. */
const variables: Readonly<Record<string, string>> = {
  hostaddr: 'PGHOSTADDR',
  password: 'PGPASSWORD',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  gssencmode: 'PGGSSENCMODE',
  channel_binding: 'PGCHANNELBINDING',
};

export interface LibpqEnvironmentOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Another than the connection names. */
  readonly database?: string;
  readonly applicationName: string;
}

/** `env` with what leads to the same server as `SqlSession` does. Throws `config-invalid`. */
export function libpqEnvironment(connection: string, options: LibpqEnvironmentOptions): NodeJS.ProcessEnv {
  const { env, applicationName } = options;
  const { hosts, wanted } = connectionCandidates(connection, env);
  const [first] = hosts;
  const words = connectionWords(connection);
  const set: Record<string, string> = {};
  for (const [word, variable] of Object.entries(variables)) {
    const value = words[word];
    if (value !== undefined) set[variable] = value;
  }
  return {
    ...withoutOthers(env),
    ...set,
    PGHOST: words['host'] ?? hosts.map(({ host }) => host).join(','),
    PGPORT: hosts.map(({ port }) => port).join(','),
    PGTARGETSESSIONATTRS: wanted,
    PGUSER: first?.user,
    PGDATABASE: options.database ?? first?.database,
    PGAPPNAME: applicationName,
    // What the programs say is read.
    LC_ALL: 'C.UTF-8',
    LANGUAGE: 'C',
  };
}

/** These would lead elsewhere, or change what is dumped. */
function withoutOthers(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { PGSERVICE: _service, PGHOSTADDR: _address, PGOPTIONS: _options, PGCLIENTENCODING: _encoding, ...rest } = env;
  return rest;
}
