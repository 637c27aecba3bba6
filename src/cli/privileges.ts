import { chownSync, mkdirSync, statSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * Root is not who writes. PostgreSQL runs as a user of its own, and so do the archive_command and restore_command
 * that it calls: what root left in the repository they could neither read nor replace. So, started as root, pgrecall
 * turns into the owner of what it works on before it touches it.
 */

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Who owns `path`, or the nearest of its ancestors that exists. */
export function ownerOf(path: string): Owner {
  let at = path;
  for (;;) {
    const stat = statSync(at, { throwIfNoEntry: false });
    if (stat) return { uid: stat.uid, gid: stat.gid };
    const parent = dirname(at);
    if (parent === at) return { uid: 0, gid: 0 };
    at = parent;
  }
}

/** Whether this process is root and `owner` is not. */
export function canActAs(owner: Owner): boolean {
  return process.getuid?.() === 0 && owner.uid !== 0;
}

/**
 * As root, makes a directory for the user that this process is about to become: the parent may be one in
 * which that user cannot. For others nothing, they make it themselves.
 */
export function giveDirectoryTo(path: string, owner: Owner): void {
  if (!canActAs(owner)) return;
  // Ancestors are for everyone to pass; what lies in the directory is its owner's alone.
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chownSync(path, owner.uid, owner.gid);
}

/**
 * As root, turns this process into the user who owns `path`, for good; nothing where that is root, where the process is
 * not root, or acts as that user already (`actingAs`).
 */
export function becomeOwnerOf(path: string): void {
  become(ownerOf(path));
}

/** As root, turns this process into `owner`, for good. */
function become(owner: Owner): void {
  if (!canActAs(owner) || process.geteuid?.() === owner.uid) return;
  // What was compiled so far is written at the end of the process, which can then no longer write it.
  flushCompileCache();
  takeGroups(owner);
  process.setgid?.(owner.gid);
  process.setuid?.(owner.uid);
  const user = userOf(owner);
  // Where ~/.pgpass is looked for.
  if (user) Object.assign(process.env, { HOME: user.homedir, USER: user.username, LOGNAME: user.username });
}

/** As root, does something as `owner` and is root again; for a socket's other end (peer authentication) as well. */
export async function actingAs<T>(owner: Owner | undefined, action: () => Promise<T>): Promise<T> {
  if (!owner || !canActAs(owner)) return action();
  const { HOME: home } = process.env;
  const groups = process.getgroups?.() ?? [];
  const gid = process.getgid?.() ?? 0;
  takeGroups(owner);
  process.setegid?.(owner.gid);
  process.seteuid?.(owner.uid);
  const user = userOf(owner);
  if (user) process.env['HOME'] = user.homedir;
  try {
    return await action();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(gid);
    process.setgroups?.(groups);
    if (home === undefined) delete process.env['HOME'];
    else process.env['HOME'] = home;
  }
}

/**
 * Within `actingAs`, does one thing as root after all, at once: as who asked for it, outside the repository. Threads that
 * write must not be there, they would write as root, too. For others the same as doing it.
 */
export function asRoot<T>(act: () => T): T {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  if (process.getuid?.() !== 0 || uid === 0 || uid === undefined || gid === undefined) return act();
  process.seteuid?.(0);
  process.setegid?.(process.getgid?.() ?? 0);
  try {
    return act();
  } finally {
    process.setegid?.(gid);
    process.seteuid?.(uid);
  }
}

/** The name of a user, or its number where it has none. */
export function nameOf(owner: Owner): string {
  if (process.geteuid?.() === owner.uid) return userOf(owner)?.username ?? `user ${owner.uid}`;
  if (!canActAs(owner)) return `user ${owner.uid}`;
  process.seteuid?.(owner.uid);
  try {
    return userOf(owner)?.username ?? `user ${owner.uid}`;
  } finally {
    process.seteuid?.(0);
  }
}

/** `initgroups` is missing from Node's types. */
type Groups = { readonly initgroups?: (user: number, extraGroup: number) => void };

function takeGroups({ uid, gid }: Owner): void {
  try {
    (process as unknown as Groups).initgroups?.(uid, gid);
  } catch {
    // A number without a name has no groups of its own.
    process.setgroups?.([gid]);
  }
}

/** Of the process as it acts now. */
function userOf(owner: Owner): { readonly username: string; readonly homedir: string } | undefined {
  if (process.geteuid?.() !== owner.uid) throw new PgrecallError('bug', `this process does not act as ${owner.uid}`);
  try {
    return userInfo();
  } catch {
    return undefined;
  }
}
