import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseDuration } from './duration.ts';
import type { OptionName } from './options.ts';

/** The last backup of each of the last so many periods that have one. */
export interface KeptPeriods {
  readonly hourly: number | undefined;
  readonly daily: number | undefined;
  readonly weekly: number | undefined;
  readonly monthly: number | undefined;
  readonly yearly: number | undefined;
}

/** What the configuration says is kept. A backup stays as long as any of it says so. */
export interface RetentionSettings {
  readonly physical: {
    /** The newest so many. */
    readonly full: number | undefined;
    readonly differential: number | undefined;
    readonly incremental: number | undefined;
    readonly forMs: number | undefined;
    readonly periods: KeptPeriods;
  };
  readonly dumps: {
    readonly count: number | undefined;
    readonly forMs: number | undefined;
    readonly periods: KeptPeriods;
  };
  /** How far back every moment can be recovered. */
  readonly wal: number | 'all' | undefined;
}

/** `value` gives the text of an option. Throws `config-invalid`. */
export function readRetention(file: string, value: (option: OptionName) => string | undefined): RetentionSettings {
  const count = (option: OptionName): number | undefined => readCount(file, option, value(option));
  const span = (option: OptionName): number | undefined => readSpan(file, option, value(option), 1);
  return {
    physical: {
      full: count('keep_full'),
      differential: count('keep_differential'),
      incremental: count('keep_incremental'),
      forMs: span('keep_for'),
      periods: {
        hourly: count('keep_hourly'),
        daily: count('keep_daily'),
        weekly: count('keep_weekly'),
        monthly: count('keep_monthly'),
        yearly: count('keep_yearly'),
      },
    },
    dumps: {
      count: count('keep_dumps'),
      forMs: span('keep_dumps_for'),
      periods: {
        hourly: count('keep_dumps_hourly'),
        daily: count('keep_dumps_daily'),
        weekly: count('keep_dumps_weekly'),
        monthly: count('keep_dumps_monthly'),
        yearly: count('keep_dumps_yearly'),
      },
    },
    wal: value('keep_wal') === 'all' ? 'all' : readSpan(file, 'keep_wal', value('keep_wal'), 0),
  };
}

function readCount(file: string, option: OptionName, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 1_000_000) return count;
  const hint = 'to expire by other rules only, leave it out; without any rule nothing expires';
  throw invalid(file, option, text, 'a whole number of at least 1', hint);
}

function readSpan(file: string, option: OptionName, text: string | undefined, leastMs: number): number | undefined {
  if (text === undefined) return undefined;
  const millis = parseDuration(text);
  if (millis !== undefined && millis >= leastMs) return millis;
  const also = option === 'keep_wal' ? ', or "all"' : '';
  throw invalid(file, option, text, `a time like "30 days"${also}`, 'minutes, hours, days, weeks, months and years');
}

function invalid(file: string, option: OptionName, text: string, expected: string, hint: string): PgrecallError {
  const place = `it stands in "${file}", or in PGRECALL_${option.toUpperCase()}`;
  return new PgrecallError('config-invalid', `${option} is "${text}"; expected ${expected}`, {
    hint: `${hint}; ${place}`,
    details: { option, found: text },
  });
}
