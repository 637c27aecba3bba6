import { resolve } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Address } from '../standby/follow-address.ts';
import { parseLag, type AllowedLag } from '../standby/promote-plan.ts';
import type { CommandArguments } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, listOption, requiredPositional, secondsOption, textOption } from './options.ts';

const defaultTimeoutMs = 60_000;

export interface PromoteWords {
  readonly cluster: string;
  readonly directory: string;
  readonly stop: boolean;
  readonly isDead: boolean;
  readonly allowed: AllowedLag;
  readonly force: boolean;
  readonly follow: readonly string[];
  readonly address: Address | undefined;
  readonly timeoutMs: number;
  readonly onlyPlan: boolean;
  readonly yes: boolean;
  readonly apply: boolean;
}

/** Throws `usage`. */
export function readPromoteWords(arguments_: CommandArguments, context: CliContext): PromoteWords {
  const { options } = arguments_;
  const directory = textOption(options, 'directory');
  if (directory === undefined) throw new PgrecallError('usage', '--directory is missing: the standby’s data directory');
  const words = {
    cluster: requiredPositional(arguments_, 'cluster'),
    directory: resolve(context.cwd, directory),
    stop: flagOption(options, 'stopPrimary'),
    isDead: flagOption(options, 'primaryIsDead'),
    allowed: parseLag(textOption(options, 'maxLag') ?? '0'),
    force: flagOption(options, 'force'),
    follow: listOption(options, 'follow'),
    address: addressOption(textOption(options, 'address')),
    timeoutMs: secondsOption(options, 'timeout') ?? defaultTimeoutMs,
    onlyPlan: flagOption(options, 'plan'),
    yes: flagOption(options, 'yes'),
    apply: flagOption(options, 'apply'),
  };
  if (words.stop && words.isDead) {
    throw new PgrecallError('usage', '--stop-primary and --primary-is-dead exclude each other');
  }
  return words;
}

function addressOption(text: string | undefined): Address | undefined {
  if (text === undefined) return undefined;
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match) return { host: (match[1] ?? '').replaceAll(/^\[|\]$/g, ''), port: Number(match[2]) };
  throw new PgrecallError('usage', `--address is "${text}"; expected HOST:PORT`);
}
