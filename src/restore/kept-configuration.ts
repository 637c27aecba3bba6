import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { keptSuffix } from './clean-directory.ts';
import { writeDurably } from './durable.ts';

/**
 * Before a directory is restored in place: copies its configuration files, which become those of the backup, each under
 * its name and a suffix. Settings may have changed since the backup for good reasons. Gives the names of the copies.
 */
export function keepConfiguration(directory: string): string[] {
  const kept: string[] = [];
  for (const name of readdirSync(directory).filter((found) => found.endsWith('.conf'))) {
    const path = join(directory, name);
    const stat = lstatSync(path);
    if (!stat.isFile()) continue;
    const copy = `${name}${keptSuffix}`;
    writeDurably(join(directory, copy), readFileSync(path), {
      mode: stat.mode & 0o777,
      owner: process.getuid?.() === 0 ? { uid: stat.uid, gid: stat.gid } : undefined,
    });
    kept.push(copy);
  }
  return kept;
}
