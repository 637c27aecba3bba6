import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * synchronous_standby_names (replication/syncrep_gram.y): `FIRST 1 (a, b)`, `ANY 1 (a, b)`, `1 (a, b)`, or `a, b`, which is
 * FIRST 1. Names are identifiers, compared without regard to case, or stand in double quotes; `*` is any.
 */

export interface SynchronousSet {
  readonly method: 'FIRST' | 'ANY';
  readonly count: number;
  readonly names: readonly string[];
}

const listPattern = /^\s*(?:(?:(first|any)\s+)?(\d+)\s*\((.*)\)|(.*?))\s*$/is;
const namePattern = /\s*(?:"((?:[^"]|"")+)"|([a-z_\u0080-\uffff][\w$\u0080-\uffff]*|\*))\s*(,|$)/giy;

/** `undefined` for an empty setting. Throws `usage` for what PostgreSQL would not read. */
export function parseSynchronousSet(text: string): SynchronousSet | undefined {
  if (text.trim() === '') return undefined;
  const match = listPattern.exec(text);
  const names = readNames(match?.[3] ?? match?.[4] ?? '');
  const count = Number(match?.[2] ?? 1);
  if (!names || count < 1) {
    throw new PgrecallError('usage', `"${text}" is no set of synchronous standbys`, {
      hint: 'for instance ANY 1 (a, b), or FIRST 1 (a, b), with the names of standbys',
    });
  }
  return { method: match?.[1]?.toUpperCase() === 'ANY' ? 'ANY' : 'FIRST', count, names };
}

function readNames(list: string): string[] | undefined {
  const names: string[] = [];
  let end = 0;
  let comma = true;
  for (const match of list.matchAll(namePattern)) {
    if (match[0] === '') break;
    names.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    end = match.index + match[0].length;
    comma = match[3] === ',';
  }
  return end === list.length && !comma && names.length > 0 ? names : undefined;
}

/** The wanted set, and behind it the names that stood there before: nobody who waits for them is let down. */
export function mergeSynchronous(present: SynchronousSet | undefined, wanted: SynchronousSet): SynchronousSet {
  const known = new Set(wanted.names.map((name) => name.toLowerCase()));
  const more = present?.names.filter((name) => !known.has(name.toLowerCase())) ?? [];
  return { ...wanted, names: [...wanted.names, ...more] };
}

export function formatSynchronous({ method, count, names }: SynchronousSet): string {
  return `${method} ${count} (${names.map(quoteName).join(', ')})`;
}

export function includesStandby({ names }: SynchronousSet, name: string): boolean {
  return names.some((one) => one === '*' || one.toLowerCase() === name.toLowerCase());
}

function quoteName(name: string): string {
  const isPlain = name === '*' || (/^[a-z_][a-z0-9_$]*$/i.test(name) && !/^(any|first)$/i.test(name));
  return isPlain ? name : `"${name.replaceAll('"', '""')}"`;
}
