import { lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { keepConfigurationOf } from '../standby/rejoin-journal.ts';

/**
 * Of the configuration that the backup brought, what the old directory does not have: files that were removed since, or lie
 * elsewhere. A file in conf.d counts as soon as it is there.
 */
export function removeForeignConfiguration(directory: string, kept: string): void {
  for (const { path } of keepConfigurationOf(directory)) {
    if (path === 'postgresql.auto.conf' || lstatSync(join(kept, path), { throwIfNoEntry: false })) continue;
    rmSync(join(directory, path));
  }
  if (!lstatSync(join(kept, 'conf.d'), { throwIfNoEntry: false })) {
    rmSync(join(directory, 'conf.d'), { recursive: true, force: true });
  }
}
