import { connectionOptions } from '../connection/connection-uri.ts';
import { libpqEnvironment } from '../connection/libpq-environment.ts';
import type { ClusterRepository, Incarnation } from '../repository/cluster-repository.ts';
import type { DumpFormat } from '../repository/dump-facts.ts';
import type { ClientPrograms } from '../server/client-programs.ts';
import { runClient, type ClientCommand, type RunClientOptions } from './client-process.ts';
import type { DumpSelection } from './dump-arguments.ts';
import type { DumpServerFacts, ServerDatabase } from './dump-server.ts';
import type { EarlierDumps } from './earlier-dumps.ts';
import { explainFailure } from './explain-failure.ts';
import type { StoredStream, Storing } from './store-items.ts';
import type { EarlierChunks } from './storing.ts';

/* What the parts of a dump share: what was asked for, what is there already, and how pg_dump is run. */

export interface DumpOptions {
  readonly cluster: ClusterRepository;
  readonly incarnation: Incarnation;
  readonly connection: string;
  readonly env: NodeJS.ProcessEnv;
  readonly facts: DumpServerFacts;
  readonly programs: ClientPrograms;
  readonly databases: readonly ServerDatabase[];
  readonly globals: boolean;
  readonly format: DumpFormat;
  readonly selection: DumpSelection;
  /** Names no content of earlier dumps. */
  readonly independent: boolean;
  readonly storing: (earlier: EarlierChunks) => Storing;
  /** Connections of a dump in the directory format. */
  readonly jobs: number;
  /** Where a dump in the directory format passes through: a directory of our own. */
  readonly temporaryDirectory: () => string;
  readonly note: string;
  readonly keep: boolean;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** A dump under way. */
export interface Dumping {
  readonly options: DumpOptions;
  readonly earlier: EarlierDumps;
  readonly storing: Storing;
  /** Every file that is stored. */
  readonly files: Map<string, StoredStream>;
  readonly warnings: string[];
}

/** Runs pg_dump to a good end; what it warns of is noted. */
export async function runDump(
  { options, warnings }: Dumping,
  database: ServerDatabase,
  command: ClientCommand,
  more: Pick<RunClientOptions, 'take' | 'onStart'>,
): Promise<void> {
  const { signal, say, connection, env } = options;
  const ending = await runClient(command, { signal, onLine: say, ...more });
  const { user } = connectionOptions(connection, env);
  if (ending.exitStatus !== 0) {
    throw explainFailure({ name: 'pg_dump', of: `database ${JSON.stringify(database.name)}`, user, ending });
  }
  for (const line of ending.lines) {
    if (/warning:/i.test(line))
      warnings.push(`${JSON.stringify(database.name)}: ${line.replace(/^pg_dump: (?:warning: )?/, '')}`);
  }
}

export function clientCommand(
  { connection, env }: DumpOptions,
  program: string,
  arguments_: readonly string[],
  database?: string,
): ClientCommand {
  const applicationName = 'pgrecall dump';
  const environment = libpqEnvironment(connection, {
    env,
    applicationName,
    ...(database === undefined ? {} : { database }),
  });
  return { program, arguments: arguments_, env: environment };
}
