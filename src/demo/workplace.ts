import { join } from 'node:path';

/**
 * Where everything of one demo lies: one temporary directory, so that nothing else on the machine is touched.
 * The commands run in it, which keeps the paths that a learner reads short.
 */
export interface Workplace {
  readonly directory: string;
  /** The data directory of the cluster that meets with the accident. */
  readonly data: string;
  /** The data directory that the recovery makes. */
  readonly restored: string;
  readonly configFile: string;
  readonly serverLog: string;
}

/** Names in the directory, as the commands of the demo say them. */
export const names = {
  cluster: 'dvdrental',
  database: 'dvdrental',
  data: 'data',
  restored: 'restored',
  repository: 'repository',
  state: 'state',
  configFile: 'pgrecall.toml',
  serverLog: 'server.log',
} as const;

export function workplaceIn(directory: string): Workplace {
  return {
    directory,
    data: join(directory, names.data),
    restored: join(directory, names.restored),
    configFile: join(directory, names.configFile),
    serverLog: join(directory, names.serverLog),
  };
}

/** How to reach the server that runs there: its socket lies in the directory itself. */
export function connectionTo(workplace: Workplace, database: string): string {
  return `host=${workplace.directory} dbname=${database} user=postgres`;
}
