import { chownSync, mkdirSync, statSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { dirname } from 'node:path';

/**
 * Who owns `path`, or the nearest of its ancestors that exists.
 */
export function ownerOf(path: string): { readonly uid: number; readonly gid: number } {
  let at = path;
  for (;;) {
    const stat = statSync(at, { throwIfNoEntry: false });
    if (stat) return { uid: stat.uid, gid: stat.gid };
    const parent = dirname(at);
    if (parent === at) return { uid: 0, gid: 0 };
    at = parent;
  }
}

/**
 * As root, makes a directory for the user that this process is about to become: the parent may be one in
 * which that user cannot. For others nothing, they make it themselves.
 */
export function giveDirectoryTo(path: string, owner: { readonly uid: number; readonly gid: number }): void {
  if (process.getuid?.() !== 0 || owner.uid === 0) return;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chownSync(path, owner.uid, owner.gid);
}

/**
 * As root, turns this process into the user who owns `path`; nothing where that is root, or where the
 * process is not root. Root would otherwise leave files in the repository that the server's archiver,
 * which runs as the server's user, can neither read nor replace.
 */
export function becomeOwnerOf(path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = ownerOf(path);
  if (uid === 0) return;
  process.initgroups?.(userName(uid), gid);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

function userName(uid: number): string | number {
  try {
    const line = execFileSync('getent', ['passwd', String(uid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return line.split(':')[0] ?? uid;
  } catch {
    return uid;
  }
}
