import { readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ClusterConfig } from '../config/config.ts';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { parseTarget, type RecoveryRequest, type TargetOptions } from '../restore/target.ts';
import { formatTimestamp } from '../wal/transaction-time.ts';
import type { CommandArguments } from './command.ts';
import { flagOption, numberOption, requiredPositional, secondsOption, textOption } from './options.ts';

const actions = ['continue', 'undo', 'forget', 'status'] as const;

/** Of what would be passed over something else may be expected than what is done: of `--undo --plan` that it only shows. */
const ofBegin = { plan: '--plan', delta: '--delta', ignoreStandbys: '--ignore-standbys', port: '--port' } as const;
const ofWay = { ...ofBegin, backup: '--backup', pause: '--pause' } as const;

export interface RecoverWords {
  readonly cluster: string;
  readonly action: 'begin' | (typeof actions)[number];
  /** `undefined` where none was named. */
  readonly request: RecoveryRequest | undefined;
  /** Whether a timeline was named; else that of the directory is meant, not the newest that the archive knows. */
  readonly namesTimeline: boolean;
  readonly backup: string | undefined;
  readonly onlyPlan: boolean;
  readonly yes: boolean;
  readonly pause: boolean;
  readonly delta: boolean;
  readonly ignoreStandbys: boolean;
  readonly port: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly jobs: number | undefined;
}

/** Throws `usage`. */
export function readRecoverWords(arguments_: CommandArguments): RecoverWords {
  const { options } = arguments_;
  const given = actions.filter((action) => flagOption(options, action));
  const [first, second] = given;
  const action: RecoverWords['action'] = first ?? 'begin';
  if (second !== undefined) throw new PgrecallError('usage', `--${action} and --${second} exclude each other`);
  const hasTarget = Object.keys(options).some((name) => name.startsWith('target') && options[name] !== undefined);
  const words = {
    cluster: requiredPositional(arguments_, 'cluster'),
    action,
    request: hasTarget ? parseTarget(options) : undefined,
    namesTimeline: textOption(options, 'targetTimeline') !== undefined,
    backup: textOption(options, 'backup'),
    onlyPlan: flagOption(options, 'plan'),
    yes: flagOption(options, 'yes'),
    pause: flagOption(options, 'pause'),
    delta: flagOption(options, 'delta'),
    ignoreStandbys: flagOption(options, 'ignoreStandbys'),
    port: numberOption(options, 'port', 1),
    timeoutMs: secondsOption(options, 'timeout'),
    jobs: numberOption(options, 'jobs', 1),
  };
  if (action !== 'begin') {
    if (hasTarget && action !== 'continue') throw new PgrecallError('usage', `--${action} takes no target`);
    const refused = Object.entries(action === 'continue' ? ofBegin : ofWay);
    const [, superfluous] = refused.find(([name]) => isSaid(options[name])) ?? [];
    if (superfluous !== undefined)
      throw new PgrecallError('usage', `--${action} and ${superfluous} exclude each other`);
    if (words.backup !== undefined && !hasTarget) {
      throw new PgrecallError('usage', '--continue takes --backup only with a target');
    }
  }
  if (words.yes && words.pause && action !== 'begin') {
    throw new PgrecallError('usage', '--yes opens the cluster, --pause does not; say one of them');
  }
  return words;
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== false;
}

/** As they can be read again, whatever the time zone is then. */
export function targetOptionsOf({ target, inclusive, timeline }: RecoveryRequest): TargetOptions {
  return {
    ...(target.kind === 'time' ? { targetTime: formatTimestamp(target.time) } : {}),
    ...(target.kind === 'lsn' ? { targetLsn: formatLsn(target.lsn) } : {}),
    ...(target.kind === 'xid' ? { targetXid: String(target.xid) } : {}),
    ...(target.kind === 'name' ? { targetName: target.name } : {}),
    ...(target.kind === 'immediate' ? { targetImmediate: true } : {}),
    ...(inclusive ? {} : { targetExclusive: true }),
    targetTimeline: String(timeline),
  };
}

/** The cluster's own, by its real name. Throws `usage`, `data-directory`. */
export function recoveredDirectory(config: ClusterConfig): string {
  const { dataDirectory, name } = config;
  if (dataDirectory === undefined) {
    throw new PgrecallError('usage', `the configuration has no data_directory for "${name}"`, {
      hint: 'set it: recover works on the directory that it names',
    });
  }
  try {
    return realpathSync(dataDirectory);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return realNameOfMissing(dataDirectory);
    throw new PgrecallError('data-directory', `"${dataDirectory}" cannot be looked at`, { cause: error });
  }
}

/** It lies aside at this moment of a recovery; a link to it leads to nothing then, and its journal lies where the link leads. */
function realNameOfMissing(path: string): string {
  try {
    const place = realpathSync(dirname(path));
    const lead = leadOf(join(place, basename(path)));
    return lead === undefined ? join(place, basename(path)) : realNameOfMissing(resolve(place, lead));
  } catch {
    return path;
  }
}

function leadOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
