import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Incarnation } from '../repository/cluster-repository.ts';
import type { DumpedDatabase } from '../repository/dump-facts.ts';

/** What a dump has to know of a server before it begins. */
export interface DumpServerFacts {
  readonly major: number;
  /** As it prints itself: `15.18`. */
  readonly version: string;
  /** `undefined` where the role may not ask. */
  readonly systemIdentifier: string | undefined;
  readonly inRecovery: boolean;
  readonly databases: readonly ServerDatabase[];
}

export interface ServerDatabase extends DumpedDatabase {
  readonly allowsConnections: boolean;
}

export async function readDumpServerFacts(session: SqlSession): Promise<DumpServerFacts> {
  const [row] = await session.query<{ version: string; in_recovery: boolean }>(
    "SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS in_recovery",
  );
  const databases = await session.query<{
    oid: number;
    name: string;
    size: number;
    encoding: string;
    allows: boolean;
  }>(
    `SELECT oid::int8::float8 AS oid, datname AS name, pg_encoding_to_char(encoding) AS encoding, datallowconn AS allows,
            CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
                 THEN pg_database_size(oid) ELSE 0 END::float8 AS size
       FROM pg_database ORDER BY datname`,
  );
  return {
    major: session.major,
    version: /^\S+/.exec(row?.version ?? '')?.[0] ?? '',
    systemIdentifier: await systemIdentifierOf(session),
    inRecovery: row?.in_recovery === true,
    databases: databases.map(({ oid, name, size, encoding, allows }) => ({
      oid,
      name,
      sizeBytes: size,
      encoding,
      allowsConnections: allows,
    })),
  };
}

async function systemIdentifierOf(session: SqlSession): Promise<string | undefined> {
  try {
    const [row] = await session.query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()');
    return row?.id;
  } catch {
    return undefined;
  }
}

/** Throws `cluster-mismatch` where it is certain that the server is another than that of this name. */
export function checkSameServer(name: string, incarnation: Incarnation, facts: DumpServerFacts): void {
  const { systemIdentifier } = facts;
  if (systemIdentifier === undefined || systemIdentifier === incarnation.systemIdentifier) return;
  throw new PgrecallError(
    'cluster-mismatch',
    `the server has the system identifier ${systemIdentifier}; cluster "${name}" is ${incarnation.systemIdentifier}`,
    { details: { found: systemIdentifier, expected: incarnation.systemIdentifier } },
  );
}

/** What of a cluster is wanted. */
export interface WantedDatabases {
  readonly all: boolean;
  readonly names: readonly string[];
}

/** Throws `database-unknown`, `server-refused` for one that takes no connections. */
export function chooseDatabases(
  wanted: WantedDatabases,
  databases: readonly ServerDatabase[],
): readonly ServerDatabase[] {
  if (wanted.all) {
    // template0 takes none; template1 is what every new cluster has, unless somebody has put something into it.
    return databases.filter(({ name, allowsConnections }) => allowsConnections && name !== 'template0');
  }
  return [...new Set(wanted.names)].map((name) => {
    const found = databases.find((database) => database.name === name);
    if (!found) {
      const known = databases.map((database) => `"${database.name}"`).join(', ');
      throw new PgrecallError('database-unknown', `the server has no database "${name}"`, {
        hint: `it has ${known}; names are taken as they are: Shop is not shop`,
        details: { database: name, known: databases.map((database) => database.name) },
      });
    }
    if (!found.allowsConnections) {
      throw new PgrecallError('server-refused', `the database "${name}" takes no connections (datallowconn)`, {
        hint: 'ALTER DATABASE … ALLOW_CONNECTIONS true',
      });
    }
    return found;
  });
}

/** Whether somebody has put something into a database: objects with numbers that initdb does not give. */
export async function hasOwnObjects(session: SqlSession): Promise<boolean> {
  const [row] = await session.query<{ own: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_class WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384)
         OR EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(temp|toast_temp)_')
         OR EXISTS (SELECT FROM pg_extension WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384)
         OR EXISTS (SELECT FROM pg_largeobject_metadata) AS own`,
  );
  return row?.own !== false;
}
