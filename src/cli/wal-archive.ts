import { join } from 'node:path';
import { pushInThreads } from '../archive/archive-threads.ts';
import { Acknowledgements } from '../archive/acknowledgements.ts';
import { runArchiver, type ArchiveEvent } from '../archive/archiver.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { acquireLock } from '../repository/lock.ts';
import { LocalStorage } from '../storage/local.ts';
import { archiveForThreads, openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';

/** `pgrecall wal archive CLUSTER`: runs until SIGTERM; one on a host. */
export const runWalArchive: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const access = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const { config } = access;
  const dataDirectory = textOption(options, 'dataDirectory') ?? config.dataDirectory;
  if (dataDirectory === undefined) {
    throw new PgrecallError('usage', `the configuration has no data_directory for "${config.name}"`, {
      hint: 'the archiver reads pg_wal: set data_directory, or name it with --data-directory',
    });
  }
  const acknowledgements = new Acknowledgements(config.stateDirectory);
  // On this host, not in the repository: a standby archives into the same one.
  await using lock = await acquireLock(new LocalStorage(acknowledgements.directory), 'locks', 'archiver', {
    purpose: 'wal archive',
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
  });
  void lock;
  const jobs = numberOption(options, 'jobs', 1) ?? config.jobs;
  await using pool = pushInThreads(access.store, archiveForThreads(access), jobs);
  const result = await runArchiver({
    walDirectory: join(dataDirectory, 'pg_wal'),
    acknowledgements,
    push: async (name, path) => pool.run({ name, path }),
    // One more than there are threads waits in each, so that none is idle.
    parallel: jobs * 2,
    report: (event) => context.stderr(describe(event)),
    signal: context.signal,
    once: flagOption(options, 'once'),
    idleExitMs: secondsOption(options, 'idleExit'),
  });
  if (context.json) context.stdout(JSON.stringify({ cluster: config.name, ...result }, undefined, 2));
  else context.stdout(`${result.stored} stored, ${result.alreadyThere} were there already`);
  return 0;
};

function describe(event: ArchiveEvent): string {
  if (event.kind === 'stored') return `stored ${event.name}`;
  const code = event.error instanceof PgrecallError ? event.error.code : 'io';
  return `${code}: ${event.error.message}; trying again`;
}
