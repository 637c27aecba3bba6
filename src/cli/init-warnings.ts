import { statSync } from 'node:fs';
import type { ClusterConfig } from '../config/config.ts';
import { holdsPassword } from '../connection/connection-uri.ts';
import type { Options } from './command.ts';
import type { CliContext } from './context.ts';
import type { InitConfig } from './init-answers.ts';
import type { InitWarning } from './init-report.ts';
import { textOption } from './options.ts';
import { nameOf, type Owner } from './privileges.ts';
import type { DataDirectory } from './server-identity.ts';
import { problemAsServer } from './server-view.ts';

/** Secrets that others can read. */
export function warningsAbout(config: InitConfig, options: Options): InitWarning[] {
  const warnings: InitWarning[] = [];
  const { connection, passphraseSource } = config.cluster;
  if (holdsPassword(textOption(options, 'connection') ?? '') || holdsPassword(connection)) {
    warnings.push({
      message: 'the connection holds a password, which then stands in the configuration',
      remedy: 'leave it out, and put it into ~/.pgpass of the user that pgrecall runs as, or into PGPASSWORD',
    });
  }
  if (passphraseSource.kind === 'file' && isPublic(passphraseSource.path)) {
    warnings.push({
      message: `every user of this machine can read the passphrase file "${passphraseSource.path}"`,
      remedy: `chmod o-rwx ${passphraseSource.path}`,
    });
  }
  return warnings;
}

/** One that is only planned is not there. */
function isPublic(path: string): boolean {
  return ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o004) !== 0;
}

export const standbyWarning: InitWarning = {
  message: 'this server is a standby: it archives only with archive_mode = always',
  remedy: 'run init against the primary, whose WAL is what is archived',
};

/** What will be in the way of archive_command. */
export function archivingWarnings(
  cluster: ClusterConfig,
  options: {
    readonly data: DataDirectory;
    readonly owner: Owner;
    readonly writer: Owner;
    readonly context: CliContext;
  },
): InitWarning[] {
  const { data, owner, writer, context } = options;
  if (data.kind === 'elsewhere') {
    return [
      {
        message: 'the server’s data directory is not on this machine, so that it cannot archive through pgrecall here',
        remedy: `receive its WAL: pgrecall wal receive ${cluster.name}; to back it up, run pgrecall where the data directory is`,
      },
    ];
  }
  if (data.kind === 'closed') {
    return [
      {
        message: `this user may not read the data directory "${data.path}"`,
        remedy: 'run pgrecall init as the user that the server runs as, or as root',
      },
    ];
  }
  const me = process.getuid?.() ?? 0;
  if (me !== 0 && me !== owner.uid) {
    return [
      {
        message: `the server runs as ${nameOf(owner)}, which cannot write what this user keeps to itself`,
        remedy: 'run pgrecall init as the user that the server runs as, or as root',
      },
    ];
  }
  if (writer.uid !== owner.uid) {
    return [
      {
        message: `the repository belongs to ${nameOf(writer)}, but the server runs as ${nameOf(owner)}, which cannot archive into it`,
        remedy: `chown -R ${nameOf(owner)} ${cluster.repositoryDirectory}`,
      },
    ];
  }
  const problem = problemAsServer(cluster, data.path, context);
  if (!problem) return [];
  return [{ message: `run as the server runs it, pgrecall fails: ${problem.message}`, remedy: problem.remedy }];
}
