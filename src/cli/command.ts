import type { CliContext } from './context.ts';

/** Options as the command line or the environment gave them, in camelCase: strings, `true`, or lists for repeatable ones. */
export type Options = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** What a command file exports; the result is the exit status. */
export type RunCommand = (arguments_: CommandArguments, context: CliContext) => Promise<number>;

export interface CommandArguments {
  /** Positional ones by the name in the command table; absent optional ones are undefined. */
  readonly positional: Readonly<Record<string, string | undefined>>;
  readonly options: Options;
  /** What stood after `--`. */
  readonly rest: readonly string[];
}

export interface OptionSpec {
  /** As commander reads it: `--to <dir>`, `--plan`. */
  readonly flags: string;
  readonly help: string;
  readonly repeatable?: boolean;
  readonly hidden?: boolean;
}

export interface CommandSpec {
  /** One word, or two: `wal push`. */
  readonly name: string;
  /** `<cluster>` required, `[backup]` optional, in order. */
  readonly positional: readonly string[];
  readonly help: string;
  /** The heading under which `pgrecall --help` lists it. */
  readonly group?: string;
  readonly options: readonly OptionSpec[];
  /** Whether what stands after `--` goes on to another program. */
  readonly takesRest?: boolean;
  /** Loads the command's own file, so that no command pays for another's dependencies. */
  readonly load: () => Promise<RunCommand>;
}
