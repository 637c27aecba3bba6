import { readFileSync } from 'node:fs';

/** Names of users and groups by number, as `/etc/passwd` and `/etc/group` have them; the number as text where it has none. */
export interface OwnerNames {
  user(uid: number): string;
  group(gid: number): string;
}

export function readOwnerNames(): OwnerNames {
  const users = readNames('/etc/passwd');
  const groups = readNames('/etc/group');
  return {
    user: (uid) => users.get(uid) ?? String(uid),
    group: (gid) => groups.get(gid) ?? String(gid),
  };
}

function readNames(path: string): Map<number, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return new Map();
  }
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name && id && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}
