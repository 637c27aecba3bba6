import { readFileSync } from 'node:fs';
import { ownerOf } from './privileges.ts';

type Owner = { readonly uid: number; readonly gid: number };

/**
 * Turns recorded names into numbers for restored files. Only root can give files away; for others the
 * result is `undefined` and everything belongs to whoever restores. Names that this machine does not know
 * fall back to the owner of the target directory.
 */
export function findOwner(directory: string): (user: string, group: string) => Owner | undefined {
  if (process.getuid?.() !== 0) return () => undefined;
  const users = readIds('/etc/passwd');
  const groups = readIds('/etc/group');
  const fallback = ownerOf(directory);
  return (user, group) => ({ uid: users.get(user) ?? fallback.uid, gid: groups.get(group) ?? fallback.gid });
}

/**
 * The numbers that go into an archive beside the names, for who unpacks it where the names are not known: those of this
 * machine, a number where that was recorded, else this user's.
 */
export function findNumbers(): (user: string, group: string) => Owner {
  const users = readIds('/etc/passwd');
  const groups = readIds('/etc/group');
  const numberOf = (name: string, known: ReadonlyMap<string, number>, own: number | undefined): number => {
    return known.get(name) ?? (/^\d+$/.test(name) ? Number(name) : (own ?? 0));
  };
  return (user, group) => ({
    uid: numberOf(user, users, process.geteuid?.()),
    gid: numberOf(group, groups, process.getegid?.()),
  });
}

function readIds(path: string): Map<string, number> {
  const ids = new Map<string, number>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [name, , id] = line.split(':');
    if (name && id) ids.set(name, Number(id));
  }
  return ids;
}
