import { TextDecoder } from 'node:util';
import type { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { globalsPath } from './dump-arguments.ts';
import { planGlobals, type GlobalStatement, type GlobalsPlan } from './globals-plan.ts';
import { connectBeside, type LoadTargetRequest } from './load-target.ts';
import { listDumpFiles, readDumpFile } from './read-dump.ts';

/** Reads what a dump has of roles and tablespaces, and what the server has of them. Throws `usage` where the dump has none. */
export async function prepareGlobals(
  cluster: ClusterRepository,
  record: BackupRecord,
  request: Pick<LoadTargetRequest, 'connection' | 'signal'>,
): Promise<GlobalsPlan> {
  const script = await readGlobals(cluster, record);
  await using session = await connectBeside(request);
  const named = async (sql: string): Promise<ReadonlySet<string>> =>
    new Set((await session.query<{ name: string }>(sql)).map(({ name }) => name));
  return planGlobals(script, {
    roles: await named('SELECT rolname AS name FROM pg_roles'),
    tablespaces: await named('SELECT spcname AS name FROM pg_tablespace'),
    databases: await named('SELECT datname AS name FROM pg_database'),
  });
}

async function readGlobals(cluster: ClusterRepository, { id, dump }: BackupRecord): Promise<string> {
  const file = dump?.globals === true ? (await listDumpFiles(cluster, id)).get(globalsPath) : undefined;
  if (!file) {
    throw new PgrecallError('usage', `--globals: the dump ${id} has none`, {
      hint: 'dump with --globals or --all to have roles and tablespaces, too',
    });
  }
  const pieces: Uint8Array[] = [];
  for await (const bytes of readDumpFile(cluster, file)) pieces.push(bytes.slice());
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces));
  } catch (error) {
    throw new PgrecallError('dump-contents', `the globals of ${id} are not UTF-8: names of roles cannot be read`, {
      hint: 'load them with psql, in a session of the encoding that they were dumped in',
      cause: error,
    });
  }
}

/** All roles or none; then the tablespaces, one by one. Throws `load-failed` with what the server says. */
export async function loadGlobals(
  plan: GlobalsPlan,
  request: Pick<LoadTargetRequest, 'connection' | 'signal'>,
): Promise<void> {
  await using session = await connectBeside(request);
  await session.query('BEGIN');
  for (const statement of plan.statements) await carryOut(session, statement, 'no role was made');
  await session.query('COMMIT');
  const roles = plan.roles.made.length;
  for (const statement of plan.tablespaceStatements) {
    request.signal.throwIfAborted();
    await carryOut(session, statement, `${roles} roles have been made, and the tablespaces before it`);
  }
}

async function carryOut(session: SqlSession, { about, sql }: GlobalStatement, state: string): Promise<void> {
  try {
    await session.query(sql);
  } catch (error) {
    if (error instanceof PgrecallError || !(error instanceof Error)) throw error;
    throw new PgrecallError('load-failed', `the globals cannot be loaded: ${about}: ${error.message}; ${state}`, {
      hint: /TABLESPACE/.test(about)
        ? 'make the directory of the tablespace on the target’s host, empty and owned by its server; or make the tablespace elsewhere, under the same name'
        : 'connect as a superuser; or make the role by hand: those that are there stay as they are',
      details: { statement: about, incomplete: !state.startsWith('no role') },
      cause: error,
    });
  }
}
