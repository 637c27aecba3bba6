import { existsSync } from 'node:fs';
import type { ClusterConfig } from '../config/config.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { lockDirectory } from '../restore/directory-lock.ts';
import { parseTarget, type RecoveryRequest } from '../restore/target.ts';
import { nextStep } from '../recover/recover-plan.ts';
import { journalDirectory, readJournal, writeJournal, type RecoveryJournal } from '../recover/recovery-journal.ts';
import { isAside, keptDirectory } from '../recover/keep-aside.ts';
import { findProgram } from '../server/as-owner.ts';
import type { InterruptedServer } from '../server/stop-and-start.ts';
import type { CliContext } from './context.ts';
import { fromForeign } from './report-error.ts';
import { actingAs, canActAs, nameOf, ownerOf, type Owner } from './privileges.ts';
import { recoveredDirectory } from './recover-words.ts';

/** Where a recovery happens, and on whose behalf. */
export interface RecoverPlace {
  readonly config: ClusterConfig;
  readonly directory: string;
  /** Of the data directory. */
  readonly owner: Owner;
  /** Does something as that user. */
  readonly asOwner: <T>(action: () => Promise<T>) => Promise<T>;
}

/** Throws `usage`, `data-directory`. */
export async function findPlace(context: CliContext, cluster: string): Promise<RecoverPlace> {
  const config = await context.cluster(cluster);
  const directory = recoveredDirectory(config);
  const journal = journalDirectory(directory);
  const owner = ownerOf(existsSync(journal) ? journal : directory);
  const keeper = ownerOf(config.repositoryDirectory);
  if (canActAs(owner) && keeper.uid !== owner.uid) {
    throw new PgrecallError(
      'data-directory',
      `"${directory}" belongs to ${nameOf(owner)}, the repository to ${nameOf(keeper)}`,
      { hint: 'what is restored belongs to who can read the repository: let both belong to the server’s user' },
    );
  }
  return {
    ...{ config, directory, owner },
    asOwner: async (action) => {
      // As the owner of the repository, who is the same, it acts already.
      return process.geteuid?.() === owner.uid ? action() : actingAs(owner, action);
    },
  };
}

/** One at a time. Throws `locked`. */
export async function lockRecovery(place: RecoverPlace, context: CliContext): Promise<AsyncDisposable> {
  return place.asOwner(async () =>
    lockDirectory(journalDirectory(place.directory), { purpose: 'recover', ...context }),
  );
}

/** The journal as it stands, and how it is changed: durable on return. */
export class Recording {
  readonly #place: RecoverPlace;
  #journal: RecoveryJournal;

  constructor(place: RecoverPlace, journal: RecoveryJournal) {
    this.#place = place;
    this.#journal = journal;
  }

  get journal(): RecoveryJournal {
    return this.#journal;
  }

  async write(change: Partial<RecoveryJournal> = {}): Promise<void> {
    this.#journal = { ...this.#journal, ...change };
    await this.#place.asOwner(async () => writeJournal(this.#journal));
  }
}

/** Throws `recovery-unfinished` where none has begun. */
export async function openRecording(place: RecoverPlace, { env }: Pick<CliContext, 'env'>): Promise<Recording> {
  const journal = await place.asOwner(async () => readJournal(place.directory));
  if (journal) return new Recording(place, { ...journal, server: withProgramOfOurs(journal.server, env) });
  throw new PgrecallError('recovery-unfinished', `no recovery of "${place.directory}" has begun`, {
    hint: 'pgrecall recover CLUSTER --target-time … begins one',
    details: { directory: place.directory },
  });
}

/** The journal is the server's user's, and pg_ctlcluster is run as root: which program that is, a file of that user does not say. */
function withProgramOfOurs(server: InterruptedServer, env: NodeJS.ProcessEnv): InterruptedServer {
  const { startedBy } = server;
  if (startedBy.kind !== 'pg_ctlcluster') return server;
  const program = findProgram('pg_ctlcluster', env);
  if (program !== undefined) return { ...server, startedBy: { ...startedBy, program } };
  throw new PgrecallError('server-program-missing', 'pg_ctlcluster, which the server was started with, is not found', {
    hint: 'nothing was changed; run this with a PATH that leads to it',
  });
}

/** What state everything is in, in words, and what can be done. */
export function describeState(journal: RecoveryJournal): string {
  const { cluster, directory, moves } = journal;
  const old = isAside(moves)
    ? `the old data directory is kept in "${keptDirectory(directory, moves)}"`
    : `the data directory "${directory}" is as it was`;
  if (journal.phase === 'undoing') return `${old}; an undo has begun: pgrecall recover ${cluster} --undo goes on`;
  if (journal.phase === 'forgetting') {
    return `the recovery is over, and the old data directory is being removed: pgrecall recover ${cluster} --forget goes on`;
  }
  if (journal.phase === 'over') {
    return `the recovery is over, ${old}: pgrecall recover ${cluster} --forget removes it, --undo brings it back`;
  }
  const next = nextStep(journal);
  const at = next === undefined ? '' : `; the next step is “${next}”`;
  return `${old}${at}: pgrecall recover ${cluster} --continue goes on, --undo brings everything back`;
}

/** Errors of a step say what state everything is in. */
export async function tellingState<T>(recording: Recording, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { journal } = recording;
    const state = describeState(journal);
    // Of the operating system, the server, or an interruption by the administrator as well.
    const known = fromForeign(error);
    throw new PgrecallError(known.code, known.message, {
      hint: [known.hint, state].filter((words) => words !== undefined).join('; '),
      details: { ...known.details, recovery: { phase: journal.phase, begun: journal.begun, done: journal.done } },
      cause: error,
    });
  }
}

export function requestOf({ journal }: Recording): RecoveryRequest {
  return parseTarget({ ...journal.target, targetAction: 'pause' });
}
