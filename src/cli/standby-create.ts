import { resolve } from 'node:path';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import {
  mapTablespaces,
  requireEmptyDirectory,
  requireEmptyTablespaces,
  requireUnusedReplayed,
} from '../restore/target-directory.ts';
import { noteStandby } from '../standby/known-standbys.ts';
import { requireFreePort } from '../standby/port-in-use.ts';
import type { PrimaryAdvice } from '../standby/primary-settings-plan.ts';
import { makeStandbySlot } from '../standby/slot.ts';
import { standbySettings } from '../standby/standby-settings-plan.ts';
import { asRepositoryOwner, type ClusterAccess } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { becomeOwnerOf, giveDirectoryTo, ownerOf } from './privileges.ts';
import { standbyConninfo, writePassfile } from './standby-conninfo.ts';
import { copyUpstream } from './standby-copy.ts';
import { planStandby, type FoundUpstream, type PlannedStandby } from './standby-create-plan.ts';
import { answerStandby, describeStandby } from './standby-create-report.ts';
import { restoreStandby, standbyRestoreCommand } from './standby-restore.ts';
import { isTooLate, takeSlotBack } from './standby-slot.ts';
import { startStandby, type StartedStandby } from './standby-start.ts';
import { readStandbyWords, type StandbyWords } from './standby-words.ts';

const synchronousNames = 'synchronous_standby_names';

/** `pgrecall standby create CLUSTER --to DIR`: whatever is in the way is found before anything is written. */
export const runStandbyCreate: RunCommand = async (arguments_, context) => {
  const words = readStandbyWords(arguments_, context);
  if (!words.delta) requireEmptyDirectory(words.directory, 'the directory');
  const planned = await asRepositoryOwner(context, words.cluster, async (access) => planStandby(access, words));
  const { access, upstream, plan, place } = planned;
  const copied = { id: 'the server to follow', tablespaces: upstream?.facts.tablespaces ?? [] };
  const tablespaces = place?.tablespaces ?? mapTablespaces(plan?.backup ?? copied, words.mappings);
  if (!place) {
    requireEmptyTablespaces(tablespaces, words.directory);
    if (plan) requireUnusedReplayed(plan.replayedTablespaces);
  }
  await checkPort(words, upstream);
  for (const warning of planned.warnings) context.stderr(`warning: ${warning}`);
  const steps = describeStandby(planned, words, tablespaces);
  if (words.onlyPlan) {
    answerStandby(context, { planned, words, steps, applied: [], started: undefined });
    return 0;
  }
  for (const step of steps) context.stderr(step);
  makePlaces(access, [words.directory, ...words.mappings.map((one) => resolve(one.slice(one.indexOf('=') + 1)))]);
  const early = words.apply ? await applyAdvice(upstream, (one) => one.name !== synchronousNames) : [];
  refuseNeeded(upstream);
  const started = await make(planned, { words, tablespaces }, context);
  // Earlier, every commit would wait for a standby that is not there yet.
  const late = words.apply && started ? await applyAdvice(upstream, (one) => one.name === synchronousNames) : [];
  answerStandby(context, { planned, words, steps, applied: [...early, ...late], started });
  return 0;
};

async function checkPort({ start, port, directory }: StandbyWords, upstream: FoundUpstream | undefined): Promise<void> {
  const wanted = port ?? upstream?.facts.port;
  if (!start || wanted === undefined) return;
  const sockets = (upstream?.facts.socketDirectories ?? []).filter((one) => one.startsWith('/') && one !== directory);
  await requireFreePort(wanted, sockets);
}

/** As root; see `restore`. */
function makePlaces({ config }: ClusterAccess, places: readonly string[]): void {
  const owner = ownerOf(config.repositoryDirectory);
  for (const place of places) giveDirectoryTo(place, owner);
  becomeOwnerOf(config.repositoryDirectory);
}

/** What was set. Throws `server-rights` with the statements where the role may not. */
async function applyAdvice(
  upstream: FoundUpstream | undefined,
  isMeant: (one: PrimaryAdvice) => boolean,
): Promise<readonly PrimaryAdvice[]> {
  const meant = upstream?.facts.inRecovery === true ? [] : (upstream?.advice.filter(isMeant) ?? []);
  if (!upstream || meant.length === 0) return [];
  await using session = await SqlSession.connect(upstream.connection, { applicationName: 'pgrecall standby' });
  try {
    for (const { statement } of meant) await session.query(statement);
    await session.query('SELECT pg_reload_conf()');
    return meant;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === '42501')) throw error;
    throw new PgrecallError('server-rights', 'this role may not use ALTER SYSTEM', {
      hint: `have a superuser run: ${statementsOf(meant)} SELECT pg_reload_conf();`,
      cause: error,
    });
  }
}

/** Throws `server-setting` for what a standby cannot stream without; each needs a restart of the primary. */
function refuseNeeded(upstream: FoundUpstream | undefined): void {
  const needed = upstream?.advice.filter((one) => one.needed) ?? [];
  if (needed.length === 0) return;
  const found = needed.map(({ name, current, why }) => `${name} is ${current} (${why})`);
  throw new PgrecallError('server-setting', `the standby could not stream: ${found.join('; ')}`, {
    hint: `${statementsOf(needed)} then restart the server; or --log-shipping, which needs no connection`,
    details: { settings: needed.map(({ name, current, wanted }) => ({ name, current, wanted })) },
  });
}

function statementsOf(advice: readonly PrimaryAdvice[]): string {
  return advice.map(({ statement }) => statement).join(' ');
}

interface Making {
  readonly words: StandbyWords;
  readonly tablespaces: ReadonlyMap<number, string>;
}

/**
 * Writes it, makes its slot, starts it. The slot comes after the restore, which may take hours in which it would keep WAL: up to
 * then the archive has everything. A copy of the upstream needs the WAL from its beginning, and so the slot before it.
 */
async function make(planned: PlannedStandby, making: Making, context: CliContext): Promise<StartedStandby | undefined> {
  const { access, upstream, plan } = planned;
  const { words, tablespaces } = making;
  const { directory } = words;
  const { stateDirectory } = access.config;
  const conninfo = upstream && standbyConninfo(upstream.connection, { ...words, stateDirectory, env: context.env });
  if (conninfo) writePassfile(conninfo, stateDirectory);
  const settings = standbySettings({
    ...words,
    upstream: conninfo && { conninfo: conninfo.conninfo, slot: words.slot },
    restoreCommand: standbyRestoreCommand(directory),
    raised: planned.raised,
    timeline: planned.timeline,
  });
  if (plan) await restoreStandby({ ...words, access, plan, place: planned.place, tablespaces, settings }, context);
  const madeSlot = upstream ? await makeSlot(upstream, words) : false;
  try {
    if (!plan && upstream) await copyUpstream({ ...words, access, upstream, tablespaces, settings }, context);
    noteStandby(stateDirectory, words.name, directory);
    if (!words.start) return undefined;
    const major = plan?.backup.postgresMajor ?? upstream?.facts.major ?? 0;
    return await startStandby({ ...words, access, major, streams: upstream !== undefined }, context);
  } catch (error) {
    if (upstream && madeSlot && !isTooLate(error)) await takeSlotBack(upstream.connection, words.slot, context);
    throw error;
  }
}

async function makeSlot(upstream: FoundUpstream, { slot, directory }: StandbyWords): Promise<boolean> {
  try {
    await using session = await SqlSession.connect(upstream.connection, { applicationName: 'pgrecall standby' });
    return await makeStandbySlot(session, slot);
  } catch (error) {
    if (!(error instanceof PgrecallError)) throw error;
    throw new PgrecallError(error.code, `the standby’s slot "${slot}" was not made: ${error.message}`, {
      hint: `"${directory}" stays as far as it was made; what is lacking: SELECT pg_create_physical_replication_slot('${slot}', true)${error.hint === undefined ? '' : `; ${error.hint}`}`,
      details: { ...error.details, slot },
      cause: error,
    });
  }
}
