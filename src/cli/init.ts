import { existsSync } from 'node:fs';
import { adviseSettings, applySettings, type SettingAdvice } from '../backup/archiving-settings.ts';
import type { ClusterConfig } from '../config/config.ts';
import { writeConfig } from '../config/edit-config.ts';
import { holdsPassword } from '../connection/connection-uri.ts';
import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { checkClusterName } from '../repository/cluster-name.ts';
import { archiveCommandOf, archiveScriptPath, writeArchiveScript } from './archive-script.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { readInitConfig, withDataDirectory, type InitConfig } from './init-answers.ts';
import { reportInit, type InitReport } from './init-report.ts';
import { archivingWarnings, standbyWarning, warningsAbout } from './init-warnings.ts';
import { flagOption, requiredPositional, textOption } from './options.ts';
import { passphraseToMake, writePassphrase } from './passphrase-file.ts';
import { actingAs, giveDirectoryTo, ownerOf, type Owner } from './privileges.ts';
import { prepareRepository, refuseNesting, registerCluster } from './register-cluster.ts';
import { identifyServer, locateDataDirectory, serverUser, type DataDirectory } from './server-identity.ts';

/*
 * `pgrecall init`, in the order in which nothing has to be taken back: read and compare everything, then the
 * repository, the configuration, the script, and last the server's settings. Run again it finds each of them right.
 *
 * Root looks and writes the configuration; what lies in the repository and in the state directory is made by, and
 * belongs to, the user that the server runs as.
 */

/** `pgrecall init CLUSTER`: exit 0 also where the server still needs settings, which the answer says. */
export const runInit: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const name = requiredPositional(arguments_, 'cluster');
  checkClusterName(name);
  const plan = flagOption(options, 'plan');
  const answers = await readInitConfig(name, options, context);
  // A script is here since the repository is.
  const expected = textOption(options, 'repository') === undefined && existsSync(archiveScriptPath(answers.cluster));
  const newPassphrase = answers.makesPassphrase
    ? passphraseToMake(answers.cluster, { expected, randomBytes: context.randomBytes })
    : undefined;
  const passphrase = newPassphrase?.text ?? (await answers.cluster.passphrase());
  const user = serverUser(answers.cluster.dataDirectory, answers.cluster.connection);
  await using session = await actingAs(user, async () =>
    SqlSession.connect(answers.cluster.connection, { applicationName: 'pgrecall init', signal: context.signal }),
  );
  const server = await identifyServer(session);
  const data = locateDataDirectory(answers.cluster.dataDirectory, server);
  const config = withDirectory(answers, data, context);
  const { cluster } = config;
  if (data.path !== undefined) refuseNesting(cluster.repositoryDirectory, data.path);

  const owner = data.kind === 'here' ? data.owner : ownOwner();
  if (newPassphrase && !plan) writePassphrase(newPassphrase, owner);
  const writer =
    plan || expected ? ownerOf(cluster.repositoryDirectory) : prepareRepository(cluster.repositoryDirectory, owner);
  const registration = await actingAs(writer, async () =>
    registerCluster(
      {
        config: cluster,
        passphrase,
        server,
        newIncarnation: flagOption(options, 'newIncarnation'),
        expected,
        plan,
      },
      context,
    ),
  );
  const configChanged = config.after !== config.before;
  if (configChanged && !plan) writeConfig(config.file, config.after, fileAccess(cluster, owner));
  const script = await makeScript(cluster, { data, plan, context });
  const settings = await settle(session, cluster, { data, apply: flagOption(options, 'apply') && !plan });
  const warnings = [
    ...warningsAbout(config, options),
    ...(plan ? [] : archivingWarnings(cluster, { data, owner, writer, context })),
    ...(server.inRecovery ? [standbyWarning] : []),
  ];
  const report: InitReport = {
    plan,
    config,
    configNamed: context.configuration.file !== undefined,
    registration,
    newPassphrase: newPassphrase?.path,
    script,
    settings: settings.advice,
    applied: settings.applied,
    archivesBySettings: data.kind === 'here',
    warnings,
  };
  reportInit(report, context);
  return 0;
};

function withDirectory(answers: InitConfig, data: DataDirectory, context: CliContext): InitConfig {
  if (answers.cluster.dataDirectory !== undefined || data.kind !== 'here') return answers;
  return withDataDirectory(answers, data.path, context);
}

function ownOwner(): Owner {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/** The server's user has to read the configuration; nobody else where a password stands in it. */
function fileAccess(cluster: ClusterConfig, owner: Owner): { readonly mode: number; readonly gid: number | undefined } {
  if (!holdsPassword(cluster.connection)) return { mode: 0o644, gid: undefined };
  return process.getuid?.() === 0 ? { mode: 0o640, gid: owner.gid } : { mode: 0o600, gid: undefined };
}

/** `undefined` where the server cannot call a script of this machine. */
async function makeScript(
  cluster: ClusterConfig,
  options: { readonly data: DataDirectory; readonly plan: boolean; readonly context: CliContext },
): Promise<InitReport['script']> {
  const { data, plan, context } = options;
  if (data.kind !== 'here') return undefined;
  if (!plan) giveDirectoryTo(cluster.stateDirectory, data.owner);
  const changed = await actingAs(data.owner, async () =>
    Promise.resolve(writeArchiveScript(cluster, { launcher: context.launcher, dataDirectory: data.path, plan })),
  );
  return { path: archiveScriptPath(cluster), changed };
}

async function settle(
  session: SqlSession,
  cluster: ClusterConfig,
  options: { readonly data: DataDirectory; readonly apply: boolean },
): Promise<{ readonly advice: readonly SettingAdvice[]; readonly applied: readonly string[] }> {
  const command = archiveCommandOf(cluster);
  const all = await adviseSettings(session, command);
  // A server elsewhere cannot archive through this machine's script; the receiver needs wal_level alone.
  const needed = (advice: readonly SettingAdvice[]): readonly SettingAdvice[] =>
    options.data.kind === 'here' ? advice : advice.filter(({ name }) => name === 'wal_level');
  if (!options.apply) return { advice: needed(all), applied: [] };
  const applied = (await apply(session, needed(all))).map((setting) => setting.name);
  return { advice: needed(await afterReload(session, command, applied)), applied };
}

async function apply(session: SqlSession, advice: readonly SettingAdvice[]): Promise<readonly SettingAdvice[]> {
  try {
    return await applySettings(session, advice);
  } catch (error) {
    const state = error instanceof Error && 'code' in error ? error.code : undefined;
    if (state !== '42501') throw error;
    const statements = advice
      .filter(({ right, pendingRestart }) => !right && !pendingRestart)
      .map(({ name, wanted }) => `ALTER SYSTEM SET ${name} = '${wanted.replaceAll("'", "''")}'; `);
    throw new PgrecallError('server-rights', 'this role may not use ALTER SYSTEM; everything else is done', {
      hint: `have a superuser run: ${statements.join('')}SELECT pg_reload_conf();`,
      cause: error,
    });
  }
}

const reloadTimeoutMs = 5000;

/** The server reads its files a moment after it was told to. */
async function afterReload(
  session: SqlSession,
  command: string,
  applied: readonly string[],
): Promise<readonly SettingAdvice[]> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const advice = await adviseSettings(session, command);
    const arrived = advice.every(
      ({ name, right, pendingRestart }) => right || pendingRestart || !applied.includes(name),
    );
    if (arrived || waitedMs >= reloadTimeoutMs) return advice;
    await session.query('SELECT pg_sleep(0.05)');
  }
}
