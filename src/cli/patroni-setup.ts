import { PgrecallError } from '../errors/pgrecall-error.ts';
import { archiveCommandOf, shellQuote, writeArchiveScript } from './archive-script.ts';
import type { RunCommand } from './command.ts';
import { flagOption } from './options.ts';
import { patroniRestoreCommandOf, writePatroniRestoreScript } from './patroni-scripts.ts';
import { actingAs, giveDirectoryTo, ownerOf, type Owner } from './privileges.ts';

/**
 * `pgrecall patroni setup [CLUSTER]`, on every member's host, before Patroni is started there: writes the scripts that
 * the server calls, and says what belongs into patroni.yml. Neither a server nor a repository has to be there yet.
 */
export const runPatroniSetup: RunCommand = async (arguments_, context) => {
  const cluster = await context.cluster(arguments_.positional['cluster']);
  const { dataDirectory } = cluster;
  if (dataDirectory === undefined) {
    throw new PgrecallError('usage', 'the data directory of this host’s member is not known', {
      hint: 'set data_directory in the configuration, or give --data-directory: the data_dir of patroni.yml',
    });
  }
  const plan = flagOption(arguments_.options, 'plan');
  const owner = memberOwner(dataDirectory, cluster.repositoryDirectory);
  if (!plan) giveDirectoryTo(cluster.stateDirectory, owner);
  const scripts = { launcher: context.launcher, dataDirectory, plan };
  const changed = await actingAs(owner, async () =>
    Promise.resolve([writeArchiveScript(cluster, scripts), writePatroniRestoreScript(cluster, scripts)].includes(true)),
  );
  const command = (name: string): string =>
    [context.launcher, 'patroni', name, cluster.name, '--config', cluster.configFile].map(shellQuote).join(' ');
  const settings = {
    archiveCommand: archiveCommandOf(cluster),
    restoreCommand: patroniRestoreCommandOf(cluster),
    replica: command('replica'),
    bootstrap: command('bootstrap'),
  };
  if (context.json) {
    context.stdout(JSON.stringify({ cluster: cluster.name, plan, changed, ...settings }, undefined, 2));
    return 0;
  }
  const written = plan ? 'would be written' : 'written';
  context.stderr(changed ? `scripts ${written}: ${cluster.stateDirectory}` : 'the scripts are as they should be');
  context.stdout(patroniSection(settings));
  return 0;
};

/**
 * As root: the member's user, who owns the directory, or the one where Patroni will make it, or the repository. Throws
 * `usage` where that is root: a script of root's could not be called.
 */
function memberOwner(...places: readonly string[]): Owner {
  const owner = places.map(ownerOf).find(({ uid }) => uid !== 0);
  if (owner) return owner;
  if (process.getuid?.() !== 0) return ownerOf(places[0] ?? '/');
  throw new PgrecallError('usage', 'whose server this will be cannot be told: everything here belongs to root', {
    hint: 'run it as the user that runs Patroni, or make the data directory or the repository that user’s first',
  });
}

function patroniSection(settings: {
  readonly archiveCommand: string;
  readonly restoreCommand: string;
  readonly replica: string;
  readonly bootstrap: string;
}): string {
  return `# into patroni.yml of this host
postgresql:
  create_replica_methods: [pgrecall, basebackup]
  pgrecall:
    command: ${inYaml(settings.replica)}
    no_leader: true
  recovery_conf:
    restore_command: ${inYaml(settings.restoreCommand)}
  parameters:
    archive_mode: 'on'
    archive_command: ${inYaml(settings.archiveCommand)}
    archive_timeout: 60

# to make the cluster anew from the repository, in place of initdb; a target goes into the command
bootstrap:
  method: pgrecall
  pgrecall:
    command: ${inYaml(settings.bootstrap)}
    keep_existing_recovery_conf: true`;
}

function inYaml(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
