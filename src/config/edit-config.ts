import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'smol-toml';
import { readDocument } from './config.ts';

/** What `init` writes about a cluster. */
export interface ClusterEntry {
  readonly connection: string;
  readonly repository: string;
  readonly data_directory?: string;
  readonly passphrase_file?: string;
  readonly pg_bin?: string;
}

/** Where `init` writes when there is no configuration yet and none is named. */
export function defaultConfigFile(options: { readonly uid: number | undefined; readonly home: string }): string {
  return options.uid === 0 ? '/etc/pgrecall/pgrecall.toml' : `${options.home}/.config/pgrecall/pgrecall.toml`;
}

/**
 * Adds a cluster's table at the end of the file, which is made where it is missing; what stands there,
 * comments included, stays as it is. Returns whether anything was written: a cluster that is there already
 * is not touched.
 */
export function addCluster(file: string, name: string, entry: ClusterEntry): boolean {
  const there = existsSync(file);
  if (there) {
    const clusters = readDocument(file)['clusters'];
    if (typeof clusters === 'object' && clusters !== null && name in clusters) return false;
  } else {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, '# Configuration of pgrecall; its guide explains every key.\n', { mode: 0o600 });
  }
  const text = readFileSync(file, 'utf8');
  const gap = text.endsWith('\n') ? '\n' : '\n\n';
  appendFileSync(file, gap + stringify({ clusters: { [name]: entry } }));
  if (!there) chmodSync(file, hasPassword(entry.connection) ? 0o600 : 0o644);
  return true;
}

function hasPassword(connection: string): boolean {
  return /:\/\/[^/@]*:[^/@]+@/.test(connection) || /password\s*=/i.test(connection);
}
