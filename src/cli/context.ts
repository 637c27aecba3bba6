import type { ClusterConfig, Config, LoadConfigOptions } from '../config/config.ts';
import type { Repository } from '../repository/repository.ts';

/** What a command is given of the world; made by `run.ts`, or by a test. */
export interface CliContext {
  /** Absolute path of `bin/pgrecall`, for the scripts that PostgreSQL calls. */
  readonly launcher: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Whether stdout carries one JSON document instead of text. */
  readonly json: boolean;
  /** Aborted by SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Whether stderr is a terminal, so that a progress line may redraw itself. */
  readonly terminal: boolean;

  /** The answer; a newline is added. */
  readonly stdout: (text: string) => void;
  /** Progress, log, errors; a newline is added. */
  readonly stderr: (text: string) => void;
  /** Writes to stderr as it is, for a progress line. */
  readonly stderrRaw: (text: string) => void;
  /** Asks the administrator; absent where nobody sits at a terminal. An empty answer is `suggestion`. */
  readonly ask?: (question: string, suggestion?: string) => Promise<string>;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;

  /** Where and how the configuration is looked for. */
  readonly configuration: LoadConfigOptions;
  /** The configuration, read once. Throws `config-*`. */
  readonly config: () => Promise<Config>;
  /** The named cluster, or the only one. Throws `cluster-unknown`. */
  readonly cluster: (name?: string) => Promise<ClusterConfig>;
  /**
   * Opens the cluster's repository. As root the process first becomes the owner of the repository's
   * directory, so that the server's archiver and the administrator write as the same user.
   */
  readonly openRepository: (cluster: ClusterConfig) => Promise<Repository>;
}
