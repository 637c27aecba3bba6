/*
 * Paths of a manifest as bytes: which are allowed, and their order. A restore writes where these paths
 * say, so one that climbs out of the target must not get past here.
 */

const slash = 0x2f;
const dot = 0x2e;
const maxPathBytes = 4096;
const maxNameBytes = 255;

/** What is wrong with a path; `undefined` for one that is relative and stays below where it starts. */
export function pathProblem(path: Uint8Array): string | undefined {
  if (path.length === 0) return undefined;
  if (path.length > maxPathBytes) return `a path of ${path.length} bytes`;
  let start = 0;
  for (let at = 0; at <= path.length; at += 1) {
    const byte = at === path.length ? slash : path[at];
    if (byte === 0) return 'a path with a NUL byte';
    if (byte !== slash) continue;
    const problem = nameProblem(path, start, at - start);
    if (problem !== undefined) return problem;
    start = at + 1;
  }
  return undefined;
}

function nameProblem(path: Uint8Array, start: number, length: number): string | undefined {
  if (length === 0) return start === 0 ? 'an absolute path' : 'a path with an empty name in it';
  if (length > maxNameBytes) return `a name of ${length} bytes`;
  if (path[start] !== dot) return undefined;
  if (length === 1) return 'a path with "." in it';
  if (length === 2 && path[start + 1] === dot) return 'a path with ".." in it';
  return undefined;
}

/**
 * Negative where `a` comes before `b`: by bytes, `/` before all others, so that what is in a directory
 * follows it at once. `from`: how many first bytes are known to be the same.
 */
export function comparePaths(a: Uint8Array, b: Uint8Array, from = 0): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = from; at < shorter; at += 1) {
    const x = a[at] ?? 0;
    const y = b[at] ?? 0;
    if (x !== y) return (x === slash ? 0 : x) - (y === slash ? 0 : y);
  }
  return a.length - b.length;
}

/** How many first bytes two paths share. */
export function sharedPrefix(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  let at = 0;
  while (at < shorter && a[at] === b[at]) at += 1;
  return at;
}

/** Whether `path` lies below `folder`. */
export function liesBelow(path: Uint8Array, folder: Uint8Array): boolean {
  return path.length > folder.length && path[folder.length] === slash && sharedPrefix(path, folder) === folder.length;
}

/** The only links that a backup has entries below: those of tablespaces, which a restore makes itself. */
export function isTablespaceLink(path: string): boolean {
  return /^pg_tblspc\/\d{1,10}$/.test(path);
}
