import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * What can name a cluster: the same in the configuration and in the repository. A name is a folder of the
 * repository, and some storages cannot tell capital letters from small ones.
 */

const pattern = /^[a-z0-9][a-z0-9_-]{0,62}$/;

export function isClusterName(name: string): boolean {
  return pattern.test(name);
}

/** What `isClusterName` takes, in words. */
export const clusterNameRule =
  'up to 63 of a-z, 0-9, _ and -, not beginning with _ or -; capital letters are not taken';

/** Throws `usage`. */
export function checkClusterName(name: string): void {
  if (isClusterName(name)) return;
  throw new PgrecallError('usage', `"${name}" cannot be the name of a cluster`, { hint: clusterNameRule });
}
