import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** All there is in a directory: of each entry its kind, mode, owner, time of change and content. */
export function everyFile(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (path: string): void => {
    const absolute = join(directory, path);
    const stat = lstatSync(absolute, { bigint: true });
    const facts = [stat.mode.toString(8), stat.uid, stat.gid, stat.mtimeNs];
    if (stat.isSymbolicLink()) found.set(path, ['link', readlinkSync(absolute)].join(' '));
    else if (stat.isDirectory()) {
      found.set(path, ['directory', ...facts].join(' '));
      for (const name of readdirSync(absolute)) visit(join(path, name));
    } else {
      const digest = createHash('sha256').update(readFileSync(absolute)).digest('hex');
      found.set(path, ['file', ...facts, stat.size, digest].join(' '));
    }
  };
  visit('');
  return found;
}

/** What differs between two of them. */
export function differingFiles(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((path) => a.get(path) !== b.get(path))
    .map((path) => `${path}: ${a.get(path) ?? 'missing'} | ${b.get(path) ?? 'missing'}`);
}
