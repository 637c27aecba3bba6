import { describe, it } from 'node:test';
import type { Major } from '../support/cluster.ts';
import { playHistory } from '../support/random-history.ts';

/*
 * Random histories of a real cluster, in which every backup that is listed restores to the pages that the cluster had: some
 * that are always the same, and a new one each time. docs/testing.md says how to play more of them, and one again.
 */

/** Taken out of the environment: the program takes every PGRECALL_ variable for an option, well or badly spelled. */
function number(name: string): number | undefined {
  const value = process.env[name];
  delete process.env[name];
  return value === undefined ? undefined : Number(value);
}

const seed = number('PGRECALL_SEED');
const histories = number('PGRECALL_HISTORIES');
const steps = number('PGRECALL_STEPS') ?? 3;
const major = (number('PGRECALL_MAJOR') ?? 15) as Major;
const fresh = Date.now() % 1_000_000;

/** Together they have most kinds of steps. */
const always = [3547, 17_079];

const first = seed ?? fresh;
const asked = Array.from({ length: histories ?? 1 }, (_, i) => first + i);
const seeds = seed === undefined && histories === undefined ? [...always, fresh] : asked;

describe('random histories', () => {
  for (const one of seeds) {
    const again = `PGRECALL_SEED=${one} PGRECALL_STEPS=${steps} PGRECALL_MAJOR=${major}`;
    it(again, { timeout: 3_600_000 }, async (t) => {
      try {
        await playHistory({ seed: one, steps, major, say: (line) => t.diagnostic(line) });
      } catch (error) {
        t.diagnostic(`play it again: ${again} node --test test/scenario/random-history.test.ts`);
        throw error;
      }
    });
  }
});
