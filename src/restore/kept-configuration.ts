import { readFileSync, type Stats } from 'node:fs';
import { crc32c } from '../bytes/crc32c.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { writeDurably } from './durable.ts';

/** Of copies that a restore in place makes of the configuration that it replaces. */
export const keptSuffix = '.before-delta';

/** Whether a path of a data directory is one of its configuration files. */
export function isConfiguration(path: string): boolean {
  return path.endsWith('.conf') && !path.includes('/');
}

/**
 * Before a directory is restored in place: copies a configuration file that is not as in the backup, under its name and a
 * suffix. Settings may have been changed since for good reasons. In a restore that is begun again, what is the backup's
 * already is not taken for what was there before.
 */
export function keepConfiguration(absolutePath: string, stat: Stats, wanted: StoredEntry | undefined): void {
  const bytes = readFileSync(absolutePath);
  if (wanted?.kind === 'file' && wanted.sizeBytes === bytes.length && wanted.crc32c === crc32c(bytes)) return;
  writeDurably(`${absolutePath}${keptSuffix}`, bytes, {
    mode: stat.mode & 0o777,
    owner: process.getuid?.() === 0 ? { uid: stat.uid, gid: stat.gid } : undefined,
  });
}
