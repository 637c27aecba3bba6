import { table } from './text-layout.ts';

/** One thing that must be so for the recovery to have worked. */
export interface Check {
  readonly name: string;
  readonly expected: string | number | boolean;
  readonly found: string | number | boolean;
  readonly holds: boolean;
}

export interface Proof {
  readonly holds: boolean;
  readonly checks: readonly Check[];
}

export function check(name: string, expected: Check['expected'], found: Check['found']): Check {
  return { name, expected, found, holds: found === expected };
}

export function proofOf(checks: readonly Check[]): Proof {
  return { holds: checks.length > 0 && checks.every(({ holds }) => holds), checks };
}

export function proofLines(proof: Proof): string[] {
  return table([
    ['what', 'expected', 'found', ''],
    ...proof.checks.map(({ name, expected, found, holds }) => [
      name,
      say(expected),
      say(found),
      holds ? 'ok' : 'WRONG',
    ]),
  ]);
}

function say(value: Check['expected']): string {
  return value === true ? 'yes' : value === false ? 'no' : String(value);
}
