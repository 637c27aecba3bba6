import { resolve } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { CommandArguments } from './command.ts';
import type { CliContext } from './context.ts';
import { flagOption, numberOption, textOption } from './options.ts';

export interface PatroniWords {
  /** The cluster in the configuration. */
  readonly cluster: string | undefined;
  readonly directory: string;
  /** Whether the directory may hold an earlier state of the cluster, of which only what differs is written. */
  readonly delta: boolean;
  readonly discardWal: boolean;
  readonly backup: string | undefined;
  readonly jobs: number | undefined;
}

/** Throws `usage` where the directory is missing, or --discard-wal stands without --delta. */
export function readPatroniWords(arguments_: CommandArguments, context: CliContext): PatroniWords {
  const { options, positional } = arguments_;
  const directory = textOption(options, 'datadir');
  if (directory === undefined) {
    throw new PgrecallError('usage', '--datadir is missing: the data directory to make', {
      hint: 'Patroni adds it by itself, unless no_params is set for the method',
    });
  }
  const delta = flagOption(options, 'delta') || isYes(textOption(options, 'keep_data'));
  const discardWal = flagOption(options, 'discardWal');
  if (discardWal && !delta) {
    throw new PgrecallError(
      'usage',
      '--discard-wal means WAL of a directory that --delta or keep_data leaves in place',
    );
  }
  return {
    cluster: positional['cluster'] ?? textOption(options, 'scope'),
    directory: resolve(context.cwd, directory),
    delta,
    discardWal,
    backup: textOption(options, 'backup'),
    jobs: numberOption(options, 'jobs', 1),
  };
}

/** As Python and YAML write it. */
function isYes(text: string | undefined): boolean {
  return text !== undefined && /^(true|yes|on|1)$/i.test(text);
}
