import { resolve } from 'node:path';
import { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { claimToRead } from '../repository/claim.ts';
import { isEmptyDirectory } from '../restore/delta-target.ts';
import { planTargetIn } from '../restore/plan-target.ts';
import type { RestorePlan } from '../restore/restore-plan.ts';
import { selectDatabases } from '../restore/selected-databases.ts';
import { parseTarget, type RecoveryRequest } from '../restore/target.ts';
import {
  mapTablespaces,
  requireEmptyDirectory,
  requireEmptyTablespaces,
  requireUnusedReplayed,
} from '../restore/target-directory.ts';
import { carryOutRestore, compareInPlace } from './carry-out-restore.ts';
import { asRepositoryOwner, findBackup, type ClusterAccess } from './cluster-access.ts';
import type { CommandArguments, RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, listOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';
import { becomeOwnerOf, giveDirectoryTo, ownerOf } from './privileges.ts';
import { checkDeltaOptions, planInPlace } from './restore-in-place.ts';
import { answerRestore, describeRestore } from './restore-report.ts';
import { startAndWait } from './start-restored.ts';

/** `pgrecall restore CLUSTER --to DIR`: exit 4 where the target cannot be reached; nothing is written then. */
export const runRestore: RunCommand = async (arguments_, context) => {
  const words = readWords(arguments_, context);
  const { directory, mappings } = words;
  const inPlace = words.delta && !isEmptyDirectory(directory);
  if (!inPlace) requireEmptyDirectory(directory, 'the directory');
  const planned = await asRepositoryOwner(context, words.cluster, async (access) => {
    const found = await planIn(access, words.request, words.backup);
    const configured = access.config.dataDirectory;
    const place = inPlace ? await planInPlace({ ...words, ...found, configured }) : undefined;
    return { ...found, place };
  });
  const { access, plan, place } = planned;
  const tablespaces = place?.tablespaces ?? mapTablespaces(plan.backup, mappings);
  if (!place) {
    requireEmptyTablespaces(tablespaces, directory);
    requireUnusedReplayed(plan.replayedTablespaces);
  }
  const databases = words.databases.length > 0 ? selectDatabases(plan.backup, words.databases) : undefined;
  const described = { plan, directory, tablespaces, databases, place };
  const steps = describeRestore(described);
  for (const warning of [...plan.warnings, ...(place?.warnings ?? [])]) context.stderr(`warning: ${warning}`);
  const execution = { ...planned, ...words, tablespaces, leftOut: databases?.leftOut ?? [] };
  if (words.onlyPlan) {
    const report = place ? await compareInPlace(execution, place, context) : undefined;
    answerRestore(context, { ...described, steps, report, planned: true });
    return 0;
  }
  for (const step of steps) context.stderr(step);
  makePlaces(access, [directory, ...mappedPlaces(mappings)]);
  // An expiry leaves what it reads, and with --start the WAL that it replays.
  const { now, randomBytes } = context;
  await using claim = await claimToRead(access.cluster, plan.backup.id, { purpose: 'restore', now, randomBytes });
  void claim;
  const report = await carryOutRestore(execution, context);
  const started = words.start
    ? await startAndWait({ access, plan, directory, timeoutMs: words.timeoutMs }, context)
    : undefined;
  answerRestore(context, { ...described, steps, report, planned: false, ...(started ? { started } : {}) });
  return 0;
};

interface Words {
  readonly cluster: string;
  readonly directory: string;
  readonly request: RecoveryRequest;
  readonly backup: string | undefined;
  readonly mappings: readonly string[];
  readonly databases: readonly string[];
  readonly delta: boolean;
  readonly discardWal: boolean;
  readonly onlyPlan: boolean;
  readonly start: boolean;
  readonly jobs: number | undefined;
  readonly port: number | undefined;
  readonly timeoutMs: number | undefined;
}

function readWords(arguments_: CommandArguments, context: CliContext): Words {
  const { options } = arguments_;
  const to = textOption(options, 'to');
  if (to === undefined) throw new PgrecallError('usage', '--to is missing: the directory to restore to');
  const words = {
    cluster: requiredPositional(arguments_, 'cluster'),
    directory: resolve(context.cwd, to),
    request: parseTarget(options),
    backup: textOption(options, 'backup'),
    mappings: listOption(options, 'tablespace'),
    databases: listOption(options, 'database'),
    delta: flagOption(options, 'delta'),
    discardWal: flagOption(options, 'discardWal'),
    onlyPlan: flagOption(options, 'plan'),
    start: flagOption(options, 'start'),
    jobs: numberOption(options, 'jobs', 1),
    port: numberOption(options, 'port', 1),
    timeoutMs: secondsOption(options, 'timeout'),
  };
  checkDeltaOptions(words);
  return words;
}

interface Planned {
  readonly access: ClusterAccess;
  readonly store: WalStore;
  readonly plan: RestorePlan;
}

async function planIn(access: ClusterAccess, request: RecoveryRequest, wanted: string | undefined): Promise<Planned> {
  const backups = await access.cluster.listBackups();
  const named = wanted === undefined ? undefined : findBackup(backups, wanted);
  const incarnation = named?.incarnation ?? access.incarnation.number;
  const store = await storeOf(access, incarnation);
  const plan = await planTargetIn(store, {
    backups: backups.filter((backup) => backup.incarnation === incarnation),
    named,
    request,
  });
  return { access, store, plan };
}

/**
 * As root, makes the directories that the administrator named while it still can, and becomes the owner of the
 * repository, for good. Not before all is planned: what is refused must leave nothing, and that user may not be able to
 * remove what root has made. Other tablespaces' directories are named by the repository, which root does not obey.
 */
function makePlaces({ config }: ClusterAccess, places: readonly string[]): void {
  const owner = ownerOf(config.repositoryDirectory);
  for (const place of places) giveDirectoryTo(place, owner);
  becomeOwnerOf(config.repositoryDirectory);
}

function mappedPlaces(mappings: readonly string[]): string[] {
  return mappings.map((mapping) => resolve(mapping.slice(mapping.indexOf('=') + 1)));
}

async function storeOf(access: ClusterAccess, number: number): Promise<WalStore> {
  if (number === access.incarnation.number) return access.store;
  const document = await access.cluster.readCluster();
  const incarnation = document?.incarnations.find((candidate) => candidate.number === number);
  if (!incarnation) throw new PgrecallError('object-damaged', `cluster.json has no incarnation ${number}`);
  return new WalStore(access.cluster, incarnation);
}
