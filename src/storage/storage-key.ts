import { assert } from '../errors/pgrecall-error.ts';

const segmentPattern = /^[A-Za-z0-9._-]+$/;

/** Whether `name` can be one segment of a key. What a storage keeps for itself has names that cannot. */
export function isKeySegment(name: string): boolean {
  return segmentPattern.test(name) && name !== '.' && name !== '..';
}

/** Whether `key` is a key as the storage interface defines it, at most 1,024 characters. */
function isKey(key: string): boolean {
  return key.length <= 1024 && key.split('/').every(isKeySegment);
}

/**
 * Stops a program error before it touches a disk: names that users type are checked where they are
 * read, so a bad key here is a bug. Every storage calls it first.
 */
export function checkKey(key: string): void {
  assert(isKey(key), `"${key}" is not a key of a storage`);
}

/** As `checkKey`, for what is listed: the empty prefix is the root. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix);
}
