import type { SettingAdvice } from '../backup/archiving-settings.ts';
import type { CliContext } from './context.ts';
import { formatTable } from './format.ts';
import type { InitConfig } from './init-answers.ts';
import type { Registration } from './register-cluster.ts';

export interface InitWarning {
  readonly message: string;
  readonly remedy: string;
}

/** What `init` found and did; with `plan`, would do. */
export interface InitReport {
  readonly plan: boolean;
  readonly config: InitConfig;
  /** Whether the file would not be found by itself. */
  readonly configNamed: boolean;
  readonly registration: Registration;
  /** The file with a passphrase that was made just now. */
  readonly newPassphrase: string | undefined;
  readonly script: { readonly path: string; readonly changed: boolean } | undefined;
  readonly settings: readonly SettingAdvice[];
  /** Names of the settings that were set just now. */
  readonly applied: readonly string[];
  /** Whether the server archives by calling our script, as its settings say. */
  readonly archivesBySettings: boolean;
  readonly warnings: readonly InitWarning[];
}

export function reportInit(report: InitReport, context: CliContext): void {
  if (context.json) context.stdout(JSON.stringify(toDocument(report), undefined, 2));
  else context.stdout(toText(report));
}

function toDocument(report: InitReport): unknown {
  const { config, registration, settings } = report;
  return {
    cluster: config.cluster.name,
    executed: !report.plan,
    configFile: config.file,
    configChanged: config.after !== config.before,
    repository: config.cluster.repositoryDirectory,
    repositoryMade: registration.repository === 'made',
    encrypted: registration.encrypted,
    passphraseFileMade: report.newPassphrase !== undefined,
    registered: registration.cluster,
    incarnation: registration.incarnation,
    dataDirectory: config.cluster.dataDirectory ?? null,
    stateDirectory: config.cluster.stateDirectory,
    archiveCommand: report.script?.path ?? null,
    settings,
    applied: report.applied,
    archiving: report.archivesBySettings && settings.every(({ right }) => right),
    restartNeeded: needsRestart(settings),
    warnings: report.warnings,
    next: nextSteps(report),
  };
}

function needsRestart(settings: readonly SettingAdvice[]): boolean {
  return settings.some((setting) => !setting.right && (setting.needsRestart || setting.pendingRestart));
}

function toText(report: InitReport): string {
  const { config, registration, script } = report;
  const { cluster } = config;
  const did = (done: string, would: string): string => (report.plan ? `would be ${would}` : done);
  const rows = [
    ['configuration', config.file, configWords(report, did)],
    [
      'repository',
      cluster.repositoryDirectory,
      `${registration.repository === 'made' ? did('made', 'made') : 'there'}, ${registration.encrypted ? 'encrypted' : 'not encrypted'}`,
    ],
    ...(report.newPassphrase === undefined ? [] : [['passphrase', report.newPassphrase, did('made', 'made')]]),
    ['cluster', cluster.name, registrationWords(registration, did)],
    ...(script ? [['archive script', script.path, script.changed ? did('written', 'written') : 'right']] : []),
  ];
  const lines = [formatTable(rows)];
  lines.push('', ...settingLines(report));
  for (const { message, remedy } of report.warnings) lines.push('', `warning: ${message}`, `         -> ${remedy}`);
  const steps = nextSteps(report);
  if (steps.length > 0) lines.push('', ...steps.map((step, i) => `${i === 0 ? 'next:' : '     '} ${step}`));
  return lines.join('\n');
}

function configWords(report: InitReport, did: (done: string, would: string) => string): string {
  const { config } = report;
  if (config.after === config.before) return 'right';
  if (config.added) return `cluster "${config.cluster.name}" ${did('added', 'added')}`;
  return `${config.changes.join(', ')} ${did('changed', 'changed')}`;
}

function registrationWords(registration: Registration, did: (done: string, would: string) => string): string {
  const { systemIdentifier, postgresMajor, number } = registration.incarnation;
  const what = `PostgreSQL ${postgresMajor}, system identifier ${systemIdentifier}`;
  switch (registration.cluster) {
    case 'known':
      return `${what}, known`;
    case 'registered':
      return `${what}, ${did('registered', 'registered')}`;
    case 'new-incarnation':
      return `${what}, ${did('registered', 'registered')} as incarnation ${number}`;
  }
}

function settingLines(report: InitReport): string[] {
  const { settings } = report;
  const rows = settings.map((setting) => [
    `  ${setting.name}`,
    setting.right ? shown(setting.current) : `${shown(setting.current)} -> ${shown(setting.wanted)}`,
    settingState(setting, report.applied),
  ]);
  const wrong = settings.filter(({ right }) => !right);
  const heading =
    wrong.length === 0
      ? report.archivesBySettings
        ? 'the server’s settings are right: it archives'
        : 'the server’s settings are right for receiving its WAL'
      : report.archivesBySettings
        ? 'THE SERVER DOES NOT ARCHIVE YET; its settings have to be:'
        : 'the server’s settings have to be:';
  return [heading, formatTable(rows)];
}

function settingState(setting: SettingAdvice, applied: readonly string[]): string {
  const set = applied.includes(setting.name) ? 'set' : '';
  if (setting.right) return set === '' ? 'right' : set;
  if (setting.pendingRestart) return `${set === '' ? 'set before' : set}, waits for a restart of the server`;
  return setting.needsRestart ? 'needs a restart of the server' : 'needs a reload';
}

function shown(value: string): string {
  return value === '' ? "''" : value;
}

/** What the administrator does now, in order. */
function nextSteps(report: InitReport): string[] {
  const { name, configFile } = report.config.cluster;
  const file = report.configNamed ? ` --config ${configFile}` : '';
  if (report.plan) return [`pgrecall init ${name}${file} without --plan`];
  const wrong = report.settings.filter(({ right }) => !right);
  const steps: string[] = [];
  if (report.newPassphrase !== undefined) {
    steps.push(
      `keep a copy of ${report.newPassphrase} away from this machine: without it nothing opens the repository`,
    );
  }
  if (wrong.some(({ pendingRestart }) => !pendingRestart)) steps.push(`pgrecall init ${name}${file} --apply`);
  if (needsRestart(report.settings)) steps.push('restart the server (pg_ctl restart, or systemctl restart postgresql)');
  if (!report.archivesBySettings) steps.push(`pgrecall wal receive ${name}${file}`);
  return [...steps, `pgrecall check ${name}${file}`, `pgrecall backup ${name}${file}`];
}
