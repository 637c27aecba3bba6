import { resolve } from 'node:path';
import { parseDuration } from '../config/duration.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { checkSlotName } from '../protocol/replication-command.ts';
import { nameFromDirectory } from '../standby/conninfo-plan.ts';
import { parseSynchronousSet, type SynchronousSet } from '../standby/synchronous-plan.ts';
import type { CommandArguments } from './command.ts';
import type { CliContext } from './context.ts';
import { checkDeltaOptions } from './restore-in-place.ts';
import { flagOption, listOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';

export interface StandbyWords {
  readonly cluster: string;
  readonly directory: string;
  readonly name: string;
  readonly slot: string;
  readonly port: number | undefined;
  readonly start: boolean;
  readonly backup: string | undefined;
  readonly fromPrimary: boolean;
  readonly upstream: string | undefined;
  readonly logShipping: boolean;
  readonly delayMs: number | undefined;
  readonly synchronous: SynchronousSet | undefined;
  readonly apply: boolean;
  readonly delta: boolean;
  readonly discardWal: boolean;
  readonly mappings: readonly string[];
  readonly onlyPlan: boolean;
  readonly timeoutMs: number | undefined;
  readonly jobs: number | undefined;
}

/** Throws `usage` for what is missing, and for what excludes each other. */
export function readStandbyWords(arguments_: CommandArguments, context: CliContext): StandbyWords {
  const { options } = arguments_;
  const to = textOption(options, 'to');
  if (to === undefined) throw new PgrecallError('usage', '--to is missing: the data directory of the standby');
  const cluster = requiredPositional(arguments_, 'cluster');
  const directory = resolve(context.cwd, to);
  const named = textOption(options, 'name');
  const slot = checkSlotName(textOption(options, 'slot') ?? slotOf(named) ?? nameFromDirectory(cluster, directory));
  const synchronous = textOption(options, 'synchronous');
  const words = {
    cluster,
    directory,
    name: named ?? slot,
    slot,
    port: numberOption(options, 'port', 1),
    start: flagOption(options, 'start'),
    backup: textOption(options, 'backup'),
    fromPrimary: flagOption(options, 'fromPrimary'),
    upstream: textOption(options, 'upstream'),
    logShipping: flagOption(options, 'logShipping'),
    delayMs: delayOption(textOption(options, 'delay')),
    synchronous: synchronous === undefined ? undefined : parseSynchronousSet(synchronous),
    apply: flagOption(options, 'apply'),
    delta: flagOption(options, 'delta'),
    discardWal: flagOption(options, 'discardWal'),
    mappings: listOption(options, 'tablespace'),
    onlyPlan: flagOption(options, 'plan'),
    timeoutMs: secondsOption(options, 'timeout'),
    jobs: numberOption(options, 'jobs', 1),
  };
  refuseContradictions(words);
  return words;
}

function slotOf(name: string | undefined): string | undefined {
  return name?.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
}

function delayOption(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^(\d{1,9})\s*s$/.exec(text.trim())?.[1];
  const millis = seconds === undefined ? parseDuration(text) : Number(seconds) * 1000;
  // What recovery_min_apply_delay can be: 31 bits of milliseconds.
  if (millis !== undefined && millis <= 2_147_483_647) return millis;
  throw new PgrecallError('usage', `--delay is "${text}"; expected a span of at most 24 days: 1h, 30 min, 45s`);
}

function refuseContradictions(words: StandbyWords): void {
  const rivals: readonly [boolean, string, string][] = [
    [words.logShipping && words.fromPrimary, '--log-shipping', '--from-primary'],
    [words.logShipping && words.upstream !== undefined, '--log-shipping', '--upstream'],
    [words.logShipping && words.synchronous !== undefined, '--log-shipping', '--synchronous'],
    [words.fromPrimary && words.delta, '--from-primary', '--delta'],
    [words.fromPrimary && words.backup !== undefined, '--from-primary', '--backup'],
  ];
  const found = rivals.find(([both]) => both);
  checkDeltaOptions({ ...words, databases: [] });
  if (found) throw new PgrecallError('usage', `${found[1]} and ${found[2]} exclude each other`);
}
