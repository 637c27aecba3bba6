/*
 * The options of the configuration, as data: name, where it may stand, and what it means. The same table
 * serves the file, the environment (PGRECALL_<NAME>) and the command line.
 */

export interface OptionDefinition {
  /** As in the file. */
  readonly name: string;
  readonly scope: 'top' | 'cluster' | 'both';
  readonly type: 'text' | 'texts' | 'path' | 'number';
  readonly help: string;
}

const definitions = [
  { name: 'repository', scope: 'both', type: 'path', help: 'directory of the repository' },
  { name: 'passphrase_file', scope: 'both', type: 'path', help: 'file with the passphrase of an encrypted repository' },
  { name: 'passphrase_command', scope: 'both', type: 'text', help: 'command that prints the passphrase' },
  {
    name: 'state_directory',
    scope: 'both',
    type: 'path',
    help: 'where acknowledgements and received WAL are kept on this machine',
  },
  { name: 'jobs', scope: 'both', type: 'number', help: 'worker threads; the number of cores unless set' },
  { name: 'connection', scope: 'cluster', type: 'text', help: 'how to reach the server: a URI, or key=value words' },
  { name: 'data_directory', scope: 'cluster', type: 'path', help: 'the cluster’s data directory on this machine' },
  { name: 'pg_bin', scope: 'cluster', type: 'path', help: 'directory of postgres and pg_ctl' },
  { name: 'slot', scope: 'cluster', type: 'text', help: 'replication slot of the receiver' },
  {
    name: 'assertions',
    scope: 'cluster',
    type: 'texts',
    help: 'SQL that must give true of a cluster that was recovered: ["SELECT count(*) > 0 FROM t"]',
  },
  { name: 'keep_full', scope: 'both', type: 'number', help: 'full backups that stay: the newest so many' },
  {
    name: 'keep_differential',
    scope: 'both',
    type: 'number',
    help: 'differential backups that stay; with their full one unless set',
  },
  {
    name: 'keep_incremental',
    scope: 'both',
    type: 'number',
    help: 'incremental backups that stay; with what they come after unless set',
  },
  { name: 'keep_for', scope: 'both', type: 'text', help: 'how long backups stay: "30 days"' },
  { name: 'keep_hourly', scope: 'both', type: 'number', help: 'hours of which the last backup stays' },
  { name: 'keep_daily', scope: 'both', type: 'number', help: 'days of which the last backup stays' },
  { name: 'keep_weekly', scope: 'both', type: 'number', help: 'weeks of which the last backup stays' },
  { name: 'keep_monthly', scope: 'both', type: 'number', help: 'months of which the last backup stays' },
  { name: 'keep_yearly', scope: 'both', type: 'number', help: 'years of which the last backup stays' },
  {
    name: 'keep_wal',
    scope: 'both',
    type: 'text',
    help: 'how far back every moment can be recovered: "7 days", or "all"',
  },
  { name: 'keep_dumps', scope: 'both', type: 'number', help: 'dumps that stay: the newest so many' },
  { name: 'keep_dumps_for', scope: 'both', type: 'text', help: 'how long dumps stay: "30 days"' },
  { name: 'keep_dumps_hourly', scope: 'both', type: 'number', help: 'hours of which the last dump stays' },
  { name: 'keep_dumps_daily', scope: 'both', type: 'number', help: 'days of which the last dump stays' },
  { name: 'keep_dumps_weekly', scope: 'both', type: 'number', help: 'weeks of which the last dump stays' },
  { name: 'keep_dumps_monthly', scope: 'both', type: 'number', help: 'months of which the last dump stays' },
  { name: 'keep_dumps_yearly', scope: 'both', type: 'number', help: 'years of which the last dump stays' },
] as const satisfies readonly OptionDefinition[];

export type OptionName = (typeof definitions)[number]['name'];

export const optionDefinitions: readonly (OptionDefinition & { readonly name: OptionName })[] = definitions;

export function definitionsFor(scope: 'top' | 'cluster'): readonly OptionDefinition[] {
  return optionDefinitions.filter((definition) => definition.scope === scope || definition.scope === 'both');
}

/** `data_directory` → `dataDirectory`, as options of the command line are named. */
export function camelCase(name: string): string {
  return name.replaceAll(/[_-]([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
