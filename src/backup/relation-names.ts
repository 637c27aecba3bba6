import { setTimeout as sleep } from 'node:timers/promises';
import { SqlSession } from '../connection/sql-session.ts';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import {
  DatabaseNames,
  encodeRelationNames,
  relationNamesAttachment,
  type NamedRelation,
  type RelationKind,
} from '../postgres/relation-names.ts';

/*
 * Asks every database what its files are called, beside the copying. Names are a help, not a part of what is backed up:
 * a database that cannot be asked is left out with a warning, and nothing of this fails a backup.
 *
 * A session keeps others from dropping its database, or from copying it, for as long as it lasts; PostgreSQL lets
 * them wait for 5 seconds. So one database is asked after the other, and none for longer than that.
 */

export interface NamesOptions {
  /** How the server is reached; other databases as the same user. */
  readonly connection: string;
  readonly signal: AbortSignal;
  /** Of one database; one that has more is left out. */
  readonly mostRelations?: number;
  /** Of all databases together; those that come later are left out. */
  readonly mostBytes?: number;
}

export interface GatheredNames {
  /** As `RelationNames` reads them. */
  readonly bytes: Uint8Array;
  readonly warnings: readonly string[];
}

export interface NamesBeside extends AsyncDisposable {
  /** What was gathered until now, or in some seconds from now. */
  readonly finish: () => Promise<GatheredNames>;
}

const defaultMostRelations = 200_000;
const defaultMostBytes = 33_554_432;
const rowsAtOnce = 5000;
const statementTimeoutMs = 4000;

/** How long a backup that is done otherwise waits for names. */
const patienceMs = 10_000;

/** Begins to gather names, until `finish` or disposal; neither throws. */
export function gatherNamesBeside(options: NamesOptions): NamesBeside {
  const stop = new AbortController();
  const gathering = new NameGathering({ ...options, signal: AbortSignal.any([options.signal, stop.signal]) });
  const done = gathering.run();
  const end = async (reason: string): Promise<void> => {
    stop.abort(new Error(reason));
    await done;
  };
  return {
    finish: async () => {
      const waiting = new AbortController();
      await Promise.race([done, sleep(patienceMs, undefined, { signal: waiting.signal }).catch(() => undefined)]);
      waiting.abort();
      await end('everything else was done before');
      return gathering.result();
    },
    [Symbol.asyncDispose]: async () => end('the backup has ended'),
  };
}

/** Attaches what was gathered. */
export async function attachNames(
  manifest: ManifestWriter,
  names: NamesBeside,
  warn: (text: string) => void,
): Promise<void> {
  const { bytes, warnings } = await names.finish();
  await manifest.attach(relationNamesAttachment, bytes);
  for (const text of warnings) warn(text);
}

class NameGathering {
  readonly #options: NamesOptions;
  readonly #databases = new Map<number, DatabaseNames>();
  /** Names of databases by the reason. */
  readonly #leftOut = new Map<string, string[]>();
  #bytes = 0;

  constructor(options: NamesOptions) {
    this.#options = options;
  }

  result(): GatheredNames {
    const warnings = [...this.#leftOut].map(([reason, databases]) => {
      const rest = databases.length > 5 ? ` and ${databases.length - 5} more` : '';
      return `names of relations are not in the backup for ${databases.slice(0, 5).join(', ')}${rest}: ${reason}`;
    });
    return { bytes: encodeRelationNames(this.#databases), warnings };
  }

  async run(): Promise<void> {
    const { mostRelations = defaultMostRelations, mostBytes = defaultMostBytes } = this.#options;
    for (const { oid, name } of await this.#listDatabases()) {
      const place = `"${name}"`;
      if (this.#bytes >= mostBytes) {
        this.#leaveOut(place, 'those of other databases have taken all the room that there is');
        continue;
      }
      const names = await this.#in(place, name, async (session) =>
        readNames(session, { shared: false, mostRelations }),
      );
      if (names === 'too many') this.#leaveOut(place, `it has more than ${mostRelations}`);
      else if (names) this.#keep(oid, names);
    }
  }

  #keep(oid: number, names: DatabaseNames): void {
    this.#databases.set(oid, names);
    this.#bytes += names.sizeBytes;
  }

  #leaveOut(place: string, reason: string): void {
    const there = this.#leftOut.get(reason);
    if (there) there.push(place);
    else this.#leftOut.set(reason, [place]);
  }

  /** Those that let anyone in. */
  async #listDatabases(): Promise<readonly Database[]> {
    const found = await this.#in('any database', undefined, async (session) => {
      const shared = await readNames(session, { shared: true, mostRelations: rowsAtOnce });
      if (shared !== 'too many') this.#keep(0, shared);
      return session.query<Database>(
        'SELECT oid::int8::float8 AS oid, datname AS name FROM pg_database WHERE datallowconn ORDER BY oid',
      );
    });
    return found ?? [];
  }

  async #in<T>(
    place: string,
    database: string | undefined,
    read: (session: SqlSession) => Promise<T>,
  ): Promise<T | undefined> {
    const { connection, signal } = this.#options;
    try {
      await using session = await SqlSession.connect(connection, {
        applicationName: 'pgrecall names',
        signal,
        ...(database === undefined ? {} : { database }),
      });
      // A query that is under way ends with its session.
      const close = (): void => void session.close();
      signal.addEventListener('abort', close);
      try {
        await session.query(`SET statement_timeout = ${statementTimeoutMs}`);
        return await read(session);
      } finally {
        signal.removeEventListener('abort', close);
      }
    } catch (error) {
      this.#leaveOut(place, messageOf(signal.aborted ? signal.reason : error));
      return undefined;
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** In rows of some thousand: a database may have more relations than fit into memory as rows. */
async function readNames(
  session: SqlSession,
  options: { readonly shared: boolean; readonly mostRelations: number },
): Promise<DatabaseNames | 'too many'> {
  const names = new DatabaseNames();
  let count = 0;
  await session.query('BEGIN READ ONLY');
  await session.query(`DECLARE relations NO SCROLL CURSOR FOR ${relationsQuery(options.shared)}`);
  for (;;) {
    const rows = await session.query<Row>(`FETCH ${rowsAtOnce} FROM relations`);
    for (const row of rows) names.add(relationOf(row));
    count += rows.length;
    if (count > options.mostRelations) return 'too many';
    if (rows.length < rowsAtOnce) break;
  }
  await session.query('COMMIT');
  return names;
}

interface Database {
  readonly oid: number;
  readonly name: string;
}

const kindLetters: Readonly<Record<string, RelationKind>> = {
  r: 'table',
  i: 'index',
  S: 'sequence',
  t: 'TOAST table',
  m: 'materialized view',
};

interface Row {
  readonly oid: number;
  readonly tablespace: number;
  readonly file: number;
  readonly kind: string;
  readonly unlogged: boolean;
  readonly schema: string;
  readonly name: string;
  readonly table: number | null;
}

/**
 * Relations with files of their own, in the order that `DatabaseNames` wants. pg_relation_filenode knows those of mapped
 * catalogues, too, and that partitioned tables have none. Temporary relations are not backed up.
 */
function relationsQuery(shared: boolean): string {
  return `
    SELECT c.oid::int8::float8 AS oid, c.tablespace::int8::float8 AS tablespace, c.file::int8::float8 AS file,
           c.relkind::text AS kind, c.relpersistence = 'u' AS unlogged, n.nspname AS schema, c.relname AS name,
           coalesce(t.oid, i.indrelid)::int8::float8 AS table
      FROM (SELECT r.oid, r.relkind, r.relpersistence, r.relname, r.relnamespace,
                   CASE r.reltablespace WHEN 0 THEN d.dattablespace ELSE r.reltablespace END AS tablespace,
                   pg_relation_filenode(r.oid) AS file
              FROM pg_class r, pg_database d
             WHERE d.datname = current_database() AND r.relkind IN ('r', 'i', 'S', 't', 'm')
               AND r.relpersistence <> 't' AND ${shared ? '' : 'NOT '}r.relisshared) c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_index i ON i.indexrelid = c.oid
      LEFT JOIN pg_class t ON t.reltoastrelid = coalesce(i.indrelid, c.oid) AND t.reltoastrelid <> 0
     WHERE c.file IS NOT NULL
     ORDER BY c.tablespace, c.file`;
}

function relationOf(row: Row): NamedRelation {
  return {
    oid: row.oid,
    tablespaceOid: row.tablespace,
    fileNumber: row.file,
    kind: kindLetters[row.kind] ?? 'table',
    unlogged: row.unlogged,
    schema: row.schema,
    name: row.name,
    ...(row.table === null ? {} : { tableOid: row.table }),
  };
}
