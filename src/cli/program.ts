import { Command, CommanderError, Option } from 'commander';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { CommandArguments, CommandSpec, OptionSpec } from './command.ts';

/** What the command line asks for; `undefined` where help or the version was printed instead. */
export interface Invocation {
  readonly spec: CommandSpec;
  readonly arguments: CommandArguments;
  readonly configFile: string | undefined;
  readonly json: boolean;
}

/**
 * Reads the command line by the command table. Help and version go to `write`.
 * Throws `usage` for what is unknown or missing, with the nearest known word.
 */
export function parseCommandLine(
  argv: readonly string[],
  specs: readonly CommandSpec[],
  version: string,
  write: (text: string) => void,
): Invocation | undefined {
  let invocation: Invocation | undefined;
  const program = new Command('pgrecall')
    .description('Backs up PostgreSQL and recalls any moment of it.')
    .version(version, '--version', 'print the version');
  quiet(program, write);

  for (const spec of specs) {
    const words = spec.name.split(' ');
    const word = words.at(-1) ?? spec.name;
    const parent = words.length === 2 ? group(program, words[0] ?? '', write) : program;
    const command = quiet(parent.command([word, ...spec.positional].join(' ')), write).description(spec.help);
    for (const option of [...spec.options, ...everywhere]) command.addOption(toOption(option));
    command.action((...parsed: unknown[]) => {
      const names = spec.positional.map((text) => text.slice(1, -1));
      const options = command.opts();
      invocation = {
        spec,
        arguments: {
          positional: Object.fromEntries(names.map((name, i) => [name, parsed[i] as string | undefined])),
          options,
        },
        configFile: options['config'] as string | undefined,
        json: options['json'] === true,
      };
    });
  }

  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || error.code === 'commander.help') return undefined;
    throw new PgrecallError('usage', error.message.replace(/^error: /, ''), { cause: error });
  }
  return invocation;
}

const everywhere: readonly OptionSpec[] = [
  { flags: '--config <file>', help: 'the configuration file' },
  { flags: '--json', help: 'one JSON document on stdout' },
];

function toOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.help);
  if (spec.hidden === true) option.hideHelp();
  if (spec.repeatable === true) {
    option.default([] as string[], '').argParser((value: string, previous: string[]) => [...previous, value]);
  }
  return option;
}

function group(program: Command, name: string, write: (text: string) => void): Command {
  const there = program.commands.find((command) => command.name() === name);
  return there ?? quiet(program.command(name), write).description(`commands for ${name.toUpperCase()}`);
}

function quiet(command: Command, write: (text: string) => void): Command {
  return command
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => undefined })
    .showSuggestionAfterError(true)
    .allowExcessArguments(false);
}
