import { Command, CommanderError, Option, type Argument } from 'commander';
import { nearest } from '../config/nearest.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { CommandArguments, CommandSpec, OptionSpec } from './command.ts';
import { checkEnvironment, optionsFromEnvironment } from './environment.ts';

/** What the command line asks for. */
export type Invocation =
  | {
      readonly kind: 'command';
      readonly spec: CommandSpec;
      readonly arguments: CommandArguments;
      readonly configFile: string | undefined;
      readonly json: boolean;
    }
  /** Help or the version was printed; without a command that is an error of usage. */
  | { readonly kind: 'printed'; readonly exitStatus: 0 | 2 };

export interface ProgramWorld {
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  /** Help and version go to stdout where they were asked for, else to stderr. */
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
}

const everywhere: readonly OptionSpec[] = [
  { flags: '--config <file>', help: 'the configuration file' },
  { flags: '--json', help: 'one JSON document on stdout' },
];

const closing = `
Any option can also be set in the environment, --data-directory as PGRECALL_DATA_DIRECTORY; the command line wins,
then the environment, then the configuration. That is looked for in --config, $PGRECALL_CONFIG, ./pgrecall.toml,
~/.config/pgrecall/pgrecall.toml and /etc/pgrecall/pgrecall.toml.

Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 damage or a gap found, 4 the target cannot be
reached, 5 busy.
`;

/**
 * Reads the command line by the command table, and the environment for the options that it does not name.
 * Throws `usage` for what is unknown or missing, with the nearest known word.
 */
export function parseCommandLine(
  argv: readonly string[],
  specs: readonly CommandSpec[],
  world: ProgramWorld,
): Invocation {
  let invocation: Invocation | undefined;
  const { own, rest } = splitRest(argv, specs);
  const program = configureParent(new Command('pgrecall'), world)
    .description('Backs up PostgreSQL and recalls any moment of it.')
    .usage('<command> [options]')
    .version(world.version, '--version', 'print the version')
    .helpCommand('help [command]', 'display help for a command')
    .addHelpText('after', closing);

  for (const spec of specs) {
    const command = addCommand(program, spec, world);
    command.action((...parsed: unknown[]) => {
      const names = spec.positional.map((text) => text.slice(1, -1));
      const options = { ...optionsFromEnvironment([...spec.options, ...everywhere], world.env), ...given(command) };
      invocation = {
        kind: 'command',
        spec,
        arguments: {
          positional: Object.fromEntries(names.map((name, i) => [name, parsed[i] as string | undefined])),
          options,
          rest,
        },
        configFile: options['config'] as string | undefined,
        json: options['json'] === true,
      };
    });
  }

  try {
    program.parse(helpAsOption(own, specs), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'printed', exitStatus: 0 };
    if (error.code === 'commander.help') return { kind: 'printed', exitStatus: 2 };
    throw usageError(error);
  }
  if (!invocation) throw new PgrecallError('bug', 'commander ran no command');
  checkEnvironment(specs, everywhere, world.env);
  return invocation;
}

function addCommand(program: Command, spec: CommandSpec, world: ProgramWorld): Command {
  const words = spec.name.split(' ');
  const word = words.at(-1) ?? spec.name;
  const parent = words.length === 2 ? groupOf(program, words[0] ?? '', spec, world) : program;
  const command = configure(parent.command([word, ...spec.positional].join(' ')), world).description(spec.help);
  if (spec.group !== undefined && parent === program) command.helpGroup(`${spec.group}:`);
  for (const option of spec.options) command.addOption(toOption(option));
  for (const option of everywhere) command.addOption(toOption(option).helpGroup(everywhereHeading));
  command.addHelpOption(new Option('--help', 'display help').helpGroup(everywhereHeading));
  return command;
}

function groupOf(program: Command, name: string, spec: CommandSpec, world: ProgramWorld): Command {
  const there = program.commands.find((command) => command.name() === name);
  if (there) return there;
  const group = configureParent(program.command(name), world)
    .description(`commands for ${name === 'wal' ? 'WAL' : name}; pgrecall help ${name} lists them`)
    .usage('<command> [options]');
  if (spec.group !== undefined) group.helpGroup(`${spec.group}:`);
  return group;
}

const everywhereHeading = 'Everywhere:';

function configureParent(command: Command, world: ProgramWorld): Command {
  // They may stand before the command as well; its own help shows them.
  for (const option of everywhere) command.addOption(toOption(option).hideHelp());
  return configure(command, world).helpOption('--help', 'display help');
}

function configure(command: Command, world: ProgramWorld): Command {
  return command
    .exitOverride()
    .configureOutput({ writeOut: world.writeOut, writeErr: world.writeErr, outputError: () => undefined })
    .configureHelp({
      helpWidth: 100,
      subcommandTerm: (sub) => [sub.name(), ...sub.registeredArguments.map(argumentTerm)].join(' '),
    })
    .allowExcessArguments(false);
}

function argumentTerm(argument: Argument): string {
  return argument.required ? argument.name().toUpperCase() : `[${argument.name().toUpperCase()}]`;
}

function toOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.help);
  if (spec.hidden === true) option.hideHelp();
  if (spec.repeatable === true) {
    option.argParser((value: string, previous: unknown) => [...(Array.isArray(previous) ? previous : []), value]);
  }
  return option;
}

/** The options of a command; those that it shares with the program may stand before it. */
function given(command: Command): Record<string, string | boolean | readonly string[] | undefined> {
  return command.parent ? { ...given(command.parent), ...command.opts() } : command.opts();
}

/** What stands after `--` of a command that hands it on; of others it stays where it is. */
function splitRest(
  argv: readonly string[],
  specs: readonly CommandSpec[],
): { readonly own: readonly string[]; readonly rest: readonly string[] } {
  const at = argv.indexOf('--');
  const own = argv.slice(0, at);
  const takes = specs.some(({ name, takesRest }) => takesRest === true && own.includes(name));
  return at < 0 || !takes ? { own: argv, rest: [] } : { own, rest: argv.slice(at + 1) };
}

/** `help wal push` → `wal push --help`; commander's own help takes one word and no mistyped one. */
function helpAsOption(argv: readonly string[], specs: readonly CommandSpec[]): readonly string[] {
  const [first, ...words] = argv;
  if (first !== 'help' || words.length === 0) return argv;
  const asked = words.join(' ');
  const names = specs.flatMap(({ name }) => [name, name.split(' ')[0] ?? name]);
  if (!names.includes(asked)) throw unknown('command', asked, names);
  return [...words, '--help'];
}

function unknown(what: string, word: string, known: readonly string[]): PgrecallError {
  const near = nearest(word, known);
  return new PgrecallError('usage', `unknown ${what} "${word}"`, {
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
    details: { nearest: near ?? null },
  });
}

/** Commander's words as ours: a fact, and what was probably meant as the hint. */
function usageError(error: CommanderError): PgrecallError {
  const [fact = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const near = suggestion?.replace(/^\(Did you mean (?:one of )?(.*)\?\)$/, '$1');
  const message = fact.replaceAll(/'([^']*)'/g, '"$1"');
  return new PgrecallError('usage', message, {
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
    details: { nearest: near ?? null },
  });
}
