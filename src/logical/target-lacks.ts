import type { SqlSession } from '../connection/sql-session.ts';

/** What a dump names and a server may not have. */
export interface NamedInDump {
  readonly owners: readonly string[];
  readonly grantees: readonly string[];
  readonly extensions: readonly string[];
  readonly tablespaces: readonly string[];
}

export interface TargetLacks {
  readonly owners: readonly string[];
  readonly grantees: readonly string[];
  readonly extensions: readonly string[];
  readonly tablespaces: readonly string[];
  /** Owners that are there, and in whose name whoever loads can make nothing. */
  readonly notMemberOf: readonly string[];
}

/** What of it the server lacks. */
export async function findLacking(session: SqlSession, named: NamedInDump): Promise<TargetLacks> {
  const absent = async (sql: string, names: readonly string[]): Promise<string[]> => {
    if (names.length === 0) return [];
    const rows = await session.query<{ name: string }>(
      `SELECT name FROM json_array_elements_text($1) AS asked (name) WHERE NOT EXISTS (${sql}) ORDER BY name`,
      [JSON.stringify(names)],
    );
    return rows.map(({ name }) => name);
  };
  const isRole = 'SELECT FROM pg_roles WHERE rolname = name';
  const lacking = await absent(isRole, named.owners);
  const there = named.owners.filter((name) => !lacking.includes(name));
  return {
    owners: lacking,
    grantees: await absent(isRole, named.grantees),
    extensions: await absent('SELECT FROM pg_available_extensions e WHERE e.name = asked.name', named.extensions),
    tablespaces: await absent('SELECT FROM pg_tablespace WHERE spcname = name', named.tablespaces),
    notMemberOf: await absent(`SELECT FROM pg_roles WHERE rolname = name AND pg_has_role(rolname, 'MEMBER')`, there),
  };
}
