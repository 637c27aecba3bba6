import { rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { connectionOptions } from '../connection/connection-uri.ts';
import { libpqEnvironment } from '../connection/libpq-environment.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClientPrograms } from '../server/client-programs.ts';
import { runClient, type ClientCommand } from './client-process.ts';
import { compareTables, holdMoment, type ComparedTable } from './copy-compare.ts';
import { explainFailedCopy, explainFailedSource, sayIncomplete, type CopyState } from './copy-failure.ts';
import { runPiped } from './copy-processes.ts';
import { dumpArguments, optionsWithoutEffect } from './dump-arguments.ts';
import { feedClient } from './feed-client.ts';
import { restoreArguments, type LoadRights } from './load-arguments.ts';
import { createTarget, type LoadTarget, type LoadTargetRequest } from './load-target.ts';
import { RestoreLines } from './restore-lines.ts';
import { quoteName } from './sql-words.ts';

/*
 * One database to another host, without a repository: pg_dump into pg_restore, which loads all of it in one transaction. Over
 * several connections it passes through a directory, as pg_restore has to seek, and the target fills up step by step.
 *
 * A database that was made for the copy is dropped where that fails. One that was there is as it was, or named as incomplete.
 */

export interface CopyOptions {
  readonly source: LoadTarget;
  readonly from: string;
  readonly target: LoadTarget;
  readonly request: LoadTargetRequest;
  readonly programs: ClientPrograms;
  readonly jobs: number;
  readonly rights: LoadRights;
  /** More of pg_dump's own options. */
  readonly options: readonly string[];
  /** Counts the rows of every table at both ends. */
  readonly compare: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** An empty directory of our own, for several connections. */
  readonly temporaryDirectory: () => string;
  readonly signal: AbortSignal;
  /** How many objects have been made or filled, and which is now. */
  readonly onObject: (done: number, what: string) => void;
  readonly say: (text: string) => void;
}

export interface CopyReport {
  /** How many objects were made, and filled. */
  readonly objects: number;
  readonly warnings: readonly string[];
  /** Where that was asked for. */
  readonly tables: readonly ComparedTable[] | undefined;
}

/** A newer pg_restore begins with settings that an older server does not know, which would end the transaction. */
export function isOneTransaction(jobs: number, programs: ClientPrograms, target: LoadTarget): boolean {
  return jobs === 1 && programs.major <= target.major;
}

/** Throws `dump-failed`, `load-failed`, `server-rights`, `connection`, `disk-full`, `server-refused`, `server-program-missing`. */
export async function copyDatabase(options: CopyOptions): Promise<CopyReport> {
  const { source, from, target, request, signal, compare } = options;
  const identity = { applicationName: 'pgrecall copy', database: source.database, signal };
  await using held = compare ? await SqlSession.connect(from, identity) : undefined;
  const snapshot = held && (await holdMoment(held));
  if (target.missing) await createTarget(target, request);
  const copying = new Copying(options, snapshot);
  try {
    await copying.run();
  } catch (error) {
    if (target.missing) await dropTarget(options);
    else if (signal.aborted && copying.isPartly) throw sayIncomplete(error, target.database);
    throw error;
  }
  const { objects, warnings } = copying;
  if (!held) return { objects, warnings, tables: undefined };
  await using there = await SqlSession.connect(request.connection, { ...identity, database: target.database });
  const onTable = (name: string): void => options.say(`counting the rows of ${name}`);
  return { objects, warnings, tables: await compareTables(held, there, { signal, onTable }) };
}

/** What was made for the copy, and is of no use without it. */
async function dropTarget({ target, request, say }: CopyOptions): Promise<void> {
  try {
    await using session = await connectElsewhere(request.connection);
    await session.query(`DROP DATABASE ${quoteName(target.database)} WITH (FORCE)`);
  } catch {
    say(`the database "${target.database}", which was made for the copy, is incomplete, and could not be dropped`);
  }
}

/** Not to the one that is to be dropped; also where the copy was interrupted. */
async function connectElsewhere(connection: string): Promise<SqlSession> {
  try {
    return await SqlSession.connect(connection, { database: 'postgres' });
  } catch {
    return SqlSession.connect(connection, { database: 'template1' });
  }
}

class Copying {
  readonly #singleTransaction: boolean;
  /** Whether a part of it may be in the target. */
  isPartly = false;
  readonly warnings: string[] = [];
  objects = 0;
  readonly #options: CopyOptions;
  readonly #snapshot: string | undefined;
  readonly #lines: RestoreLines;

  constructor(options: CopyOptions, snapshot: string | undefined) {
    const { jobs, programs, target, onObject, say } = options;
    this.#options = options;
    this.#snapshot = snapshot;
    this.#singleTransaction = isOneTransaction(jobs, programs, target);
    this.#lines = new RestoreLines({
      onObject: (done, what) => {
        this.objects = done;
        onObject(done, what);
      },
      onLine: say,
    });
  }

  async run(): Promise<void> {
    if (this.#options.jobs === 1) await this.#pipe();
    else await this.#passThroughDirectory();
  }

  async #pipe(): Promise<void> {
    const { signal, say, source } = this.#options;
    this.isPartly = !this.#singleTransaction;
    const endings = await runPiped({
      dump: this.#dumpCommand('custom', []),
      restore: this.#restoreCommand('custom'),
      signal,
      onDumpLine: say,
      isPassing: (line) => this.#lines.take(line),
    });
    this.#noteWarnings(endings.dump.lines);
    const { user } = connectionOptions(this.#options.from, this.#options.env);
    const failure = explainFailedCopy(endings, { source: source.database, user, ...this.#state() });
    if (failure) throw failure;
  }

  async #passThroughDirectory(): Promise<void> {
    const { signal, say, jobs, source, temporaryDirectory } = this.#options;
    const parent = temporaryDirectory();
    const directory = join(parent, 'dump');
    try {
      await this.#checkRoom(parent);
      const more = [`--jobs=${jobs}`, '--no-sync', `--file=${directory}`];
      const dumped = await runClient(this.#dumpCommand('directory', more), { signal, onLine: say });
      this.#noteWarnings(dumped.lines);
      const { user } = connectionOptions(this.#options.from, this.#options.env);
      const untouched = { ...this.#state(), undone: true };
      if (dumped.exitStatus !== 0) throw explainFailedSource(dumped, { source: source.database, user, ...untouched });
      this.isPartly = true;
      const restored = await feedClient(this.#restoreCommand('directory', directory), {
        signal,
        onLine: () => undefined,
        isPassing: (line) => this.#lines.take(line),
      });
      const failure = explainFailedCopy(
        { dump: dumped, restore: restored },
        { source: source.database, user, ...this.#state() },
      );
      if (failure) throw failure;
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  }

  /** Indexes, which a dump has not, make up for what text takes more. */
  async #checkRoom(directory: string): Promise<void> {
    const { from, source, signal } = this.#options;
    await using session = await SqlSession.connect(from, { database: source.database, signal });
    const [row] = await session.query<{ bytes: number }>(
      'SELECT pg_database_size(current_database())::float8 AS bytes',
    );
    const needed = row?.bytes ?? 0;
    const { bavail, bsize } = statfsSync(directory);
    if (bavail * bsize >= needed / 2) return;
    throw new PgrecallError(
      'disk-full',
      `"${directory}" has ${bavail * bsize} bytes free, too few for "${source.database}", of ${needed} bytes, to pass through`,
      {
        hint: 'name another place with --through, or copy without --jobs, which needs none',
        details: { directory, freeBytes: bavail * bsize, databaseBytes: needed },
      },
    );
  }

  #dumpCommand(format: 'custom' | 'directory', more: readonly string[]): ClientCommand {
    const { programs, options, from, env, source } = this.#options;
    const selection = { content: 'all', tables: [], schemas: [], options } as const;
    const dumpedAs = { format, major: programs.major, database: source.database };
    const snapshot = this.#snapshot === undefined ? [] : [`--snapshot=${this.#snapshot}`];
    return {
      program: programs.pgDump,
      arguments: [...dumpArguments(dumpedAs, selection), ...snapshot, ...more],
      env: libpqEnvironment(from, { env, applicationName: 'pgrecall copy', database: source.database }),
    };
  }

  #restoreCommand(format: 'custom' | 'directory', path?: string): ClientCommand {
    const { programs, request, env, target, rights, jobs } = this.#options;
    const { database } = target;
    const options = [
      ...(this.#singleTransaction ? ['--single-transaction'] : []),
      // Of what passes between them pg_dump leaves these to pg_restore.
      ...optionsWithoutEffect(format, this.#options.options).filter((word) => !/^(?:-C|--create)$/.test(word)),
    ];
    const from = path === undefined ? {} : { from: { path, jobs } };
    return {
      program: programs.pgRestore,
      arguments: restoreArguments({ format, database, rights, options, listFile: undefined, ...from }),
      env: libpqEnvironment(request.connection, { env, applicationName: 'pgrecall copy', database }),
    };
  }

  #noteWarnings(lines: readonly string[]): void {
    for (const line of lines) {
      if (/warning:/i.test(line)) this.warnings.push(line.replace(/^pg_dump: (?:warning: )?/, ''));
    }
  }

  #state(): Omit<CopyState, 'source' | 'user'> {
    const { target } = this.#options;
    const { errors, failures, onlyUnknownSettings } = this.#lines;
    const undone = this.#singleTransaction || target.missing;
    return { target: target.database, undone, made: target.missing, errors, failures, onlyUnknownSettings };
  }
}
