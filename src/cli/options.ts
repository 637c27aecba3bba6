import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { CommandArguments, Options } from './command.ts';

/** Readers of options as the command line gave them; each throws `usage` for what does not fit. */

export function textOption(options: Options, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

export function flagOption(options: Options, name: string): boolean {
  return options[name] === true;
}

export function listOption(options: Options, name: string): readonly string[] {
  const value = options[name];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

/** A whole number of at least `least`. */
export function numberOption(options: Options, name: string, least: number): number | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) {
    throw new PgrecallError('usage', `--${kebab(name)} is "${text}"; expected a whole number of at least ${least}`);
  }
  return value;
}

/** Seconds, with fractions, as milliseconds. */
export function secondsOption(options: Options, name: string): number | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || text.trim() === '') {
    throw new PgrecallError('usage', `--${kebab(name)} is "${text}"; expected seconds`);
  }
  return Math.round(value * 1000);
}

export function requiredPositional(arguments_: Pick<CommandArguments, 'positional'>, name: string): string {
  const value = arguments_.positional[name];
  if (value === undefined) throw new PgrecallError('usage', `${name} is missing`);
  return value;
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
