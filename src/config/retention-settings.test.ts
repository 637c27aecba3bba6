import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode, type PgrecallError } from '../errors/pgrecall-error.ts';
import { parseToml } from './config-file.ts';
import { configFrom } from './config.ts';
import { formatSpan, parseDuration } from './duration.ts';
import type { RetentionSettings } from './retention-settings.ts';

const file = '/etc/pgrecall/pgrecall.toml';
const dayMs = 86_400_000;

function settings(text: string, env: NodeJS.ProcessEnv = {}): RetentionSettings {
  const whole = `repository = "/b"\n[clusters.main]\nconnection = "host=x"\n${text}`;
  return configFrom(file, parseToml(whole, file), { cwd: '/srv', home: '/root', env }).cluster().retention;
}

function refusal(text: string): PgrecallError {
  try {
    settings(text);
  } catch (error) {
    if (hasCode(error, 'config-invalid')) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('a span of time', () => {
  it('is read as people write it', () => {
    for (const [text, millis] of [
      ['30 days', 30 * dayMs],
      ['1 day', dayMs],
      ['2w', 14 * dayMs],
      ['12 hours', dayMs / 2],
      [' 90 minutes ', 5_400_000],
      ['3 Months', 90 * dayMs],
      ['1year', 365 * dayMs],
      ['0 days', 0],
    ] as const) {
      assert.equal(parseDuration(text), millis, text);
    }
  });

  it('is refused where it has no unit, an unknown one, or is none', () => {
    for (const text of [
      '',
      '30',
      'days',
      '-1 day',
      '1.5 days',
      '3 fortnights',
      '2000 years',
      '1 day 2 hours',
      '3 dayss',
      '5 constructor',
    ]) {
      assert.equal(parseDuration(text), undefined, text);
    }
  });

  it('reads back as it is written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000_000 }), (minutes) => {
        assert.equal(parseDuration(formatSpan(minutes * 60_000)), minutes * 60_000);
      }),
    );
    assert.equal(formatSpan(14 * dayMs), '2 weeks');
    assert.equal(formatSpan(7 * dayMs), '7 days');
    assert.equal(formatSpan(1500), '1.5 s');
  });
});

describe('what the configuration keeps', () => {
  it('is nothing in particular unless it says so', () => {
    const { physical, dumps, wal } = settings('');
    assert.deepEqual(
      [physical.full, physical.forMs, physical.periods.daily, dumps.count, wal],
      Array(5).fill(undefined),
    );
  });

  it('has a key for each rule, of physical backups and of dumps', () => {
    const { physical, dumps, wal } = settings(`
      keep_full = 4
      keep_differential = 7
      keep_incremental = "30"
      keep_for = "30 days"
      keep_hourly = 24
      keep_weekly = 5
      keep_wal = "7 days"
      keep_dumps = 3
      keep_dumps_for = "1 year"
      keep_dumps_monthly = 12
    `);
    assert.deepEqual(physical, {
      full: 4,
      differential: 7,
      incremental: 30,
      forMs: 30 * dayMs,
      periods: { hourly: 24, daily: undefined, weekly: 5, monthly: undefined, yearly: undefined },
    });
    assert.equal(wal, 7 * dayMs);
    assert.deepEqual([dumps.count, dumps.forMs, dumps.periods.monthly], [3, 365 * dayMs, 12]);
    assert.equal(settings('keep_wal = "all"').wal, 'all');
    assert.equal(settings('keep_full = 2', { PGRECALL_KEEP_FULL: '9' }).physical.full, 9);
  });

  it('is refused where it cannot be meant', () => {
    for (const [text, expected] of [
      ['keep_full = 0', /keep_full is "0"; expected a whole number of at least 1/],
      ['keep_full = -1', /keep_full is "-1"/],
      ['keep_full = 1.5', /keep_full is "1\.5"/],
      ['keep_daily = true', /keep_daily is not a number/],
      ['keep_for = 30', /keep_for is not a text/],
      ['keep_for = "30"', /keep_for is "30"; expected a time like "30 days"$/],
      ['keep_for = "0 days"', /keep_for is "0 days"/],
      ['keep_wal = "always"', /keep_wal is "always"; expected a time like "30 days", or "all"/],
      ['keep_dumps_for = "soon"', /keep_dumps_for is "soon"/],
    ] as const) {
      assert.match(refusal(text).message, expected);
    }
    assert.match(refusal('keep_full = 0').hint ?? '', /leave it out.*PGRECALL_KEEP_FULL/);
    assert.equal(settings('keep_wal = "0 days"').wal, 0);
  });
});
