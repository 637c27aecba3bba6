import { nearest } from '../config/nearest.ts';
import { camelCase, optionDefinitions } from '../config/options.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { CommandSpec, OptionSpec } from './command.ts';

/*
 * Options from the environment: PGRECALL_<OPTION> for every option of every command, `PGRECALL_TARGET_TIME` for
 * `--target-time`. A flag is set by 1, true, yes or on; of a repeatable option each line is a value.
 */

const prefix = 'PGRECALL_';
/** Not options: the passphrase itself, and what the project's own scripts read. */
const otherVariables = ['PASSPHRASE', 'NODE', 'LAUNCHER'];
const foreign = /^(?:TEST|DEMO|BENCH|CI)_/;

const truths: Readonly<Record<string, boolean>> = {
  ...{ '1': true, true: true, yes: true, on: true },
  ...{ '0': false, false: false, no: false, off: false },
};

/** `--target-time <time>` → `TARGET_TIME` */
function variableOf(option: OptionSpec): string {
  return longName(option).replaceAll('-', '_').toUpperCase();
}

function longName(option: OptionSpec): string {
  return /--([a-z-]+)/.exec(option.flags)?.[1] ?? '';
}

/** What the environment says of a command's options, by the names that `Options` has. Throws `usage`. */
export function optionsFromEnvironment(
  specs: readonly OptionSpec[],
  env: NodeJS.ProcessEnv,
): Record<string, string | true | string[]> {
  const found: Record<string, string | true | string[]> = {};
  for (const spec of specs) {
    // What pgrecall says to itself is not for the world outside to set.
    if (spec.hidden === true) continue;
    const variable = prefix + variableOf(spec);
    const text = env[variable];
    if (text === undefined || text === '') continue;
    const name = camelCase(longName(spec));
    if (spec.repeatable === true) {
      found[name] = text.split('\n').filter((line) => line !== '');
    } else if (spec.flags.includes('<')) {
      found[name] = text;
    } else if (readFlag(variable, text)) {
      found[name] = true;
    }
  }
  return found;
}

function readFlag(variable: string, text: string): boolean {
  const truth = truths[text.toLowerCase()];
  if (truth !== undefined) return truth;
  throw new PgrecallError('usage', `${variable} is "${text}"; expected 1 or 0`);
}

/**
 * Throws `usage` for a variable that is nearly an option of ours: passed over, a mistyped PGRECALL_TARGET_TIME would
 * recover to another moment than the one that was meant.
 */
export function checkEnvironment(
  commands: readonly CommandSpec[],
  everywhere: readonly OptionSpec[],
  env: NodeJS.ProcessEnv,
): void {
  const known = new Set([
    ...otherVariables,
    ...optionDefinitions.map(({ name }) => name.toUpperCase()),
    ...[...everywhere, ...commands.flatMap(({ options }) => options)].map(variableOf),
  ]);
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith(prefix)) continue;
    const name = variable.slice(prefix.length);
    if (known.has(name) || foreign.test(name)) continue;
    const near = nearest(name, [...known]);
    if (near === undefined) continue;
    throw new PgrecallError('usage', `the environment has ${variable}, which no option is called`, {
      hint: `did you mean ${prefix}${near}?`,
      details: { variable, nearest: prefix + near },
    });
  }
}
