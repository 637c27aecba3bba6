import { readFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import type { ManifestWriter } from '../repository/manifest-writer.ts';
import type { ServerFacts } from './backup-server.ts';

/*
 * Some systems (Debian among them) keep the configuration outside the data directory, with more files beside it that
 * it includes. A backup carries them as attachments: each under the name `outside/<name>`, and under `outside` the
 * list of these names as JSON. A name is the path that the file has in a data directory that holds its own
 * configuration: postgresql.conf, conf.d/memory.conf.
 */

export interface OutsideFile {
  readonly name: string;
  readonly path: string;
}

/** As it stands in a manifest: an attachment's name has 256 bytes at most. */
const namePattern = /^(?!\.)[\w.@+-]{1,100}(\/(?!\.)[\w.@+-]{1,100})?$/;

export interface OutsideFiles {
  readonly carried: readonly OutsideFile[];
  /** Those that are in use but would have no place in a data directory. */
  readonly elsewhere: readonly string[];
}

/** What is known of where settings come from. */
export type ConfigurationPlaces = Pick<ServerFacts, 'dataDirectory' | 'configurationFiles' | 'settingsFiles'>;

/** The configuration files that lie outside the data directory. */
export function findOutsideFiles(facts: ConfigurationPlaces, dataDirectory: string): OutsideFiles {
  const roots = [dataDirectory, facts.dataDirectory ?? dataDirectory].map((root) => `${root.replace(/\/+$/, '')}/`);
  const isOutside = (path: string): boolean => !roots.some((root) => path.startsWith(root));
  const carried = Object.entries(facts.configurationFiles)
    .map(([name, path]) => ({ name, path }))
    .filter(({ path }) => isOutside(path));
  const known = new Set(carried.map(({ path }) => path));
  const main = facts.configurationFiles['postgresql.conf'];
  const elsewhere: string[] = [];
  for (const path of facts.settingsFiles) {
    if (known.has(path) || !isOutside(path)) continue;
    const name = main === undefined ? '' : relative(dirname(main), path);
    if (namePattern.test(name)) carried.push({ name, path });
    else elsewhere.push(path);
  }
  return { carried, elsewhere };
}

/** Attaches them, from this host unless `read` says otherwise; one that cannot be read is a warning. */
export async function attachOutsideFiles(
  manifest: ManifestWriter,
  files: OutsideFiles,
  warn: (text: string) => void,
  read: (path: string) => Uint8Array | Promise<Uint8Array> = (path) => readFileSync(path),
): Promise<void> {
  const names: string[] = [];
  for (const { name, path } of files.carried) {
    let bytes: Uint8Array;
    try {
      bytes = await read(path);
    } catch (error) {
      warn(`"${path}" could not be read: ${(error as Error).message}`);
      continue;
    }
    await manifest.attach(`outside/${name}`, bytes);
    names.push(name);
  }
  if (names.length > 0) await manifest.attach('outside', Buffer.from(JSON.stringify(names)));
  for (const path of files.elsewhere) {
    warn(
      `"${path}" holds settings that are in use; it lies neither in the data directory nor beside postgresql.conf, and is not in the backup`,
    );
  }
}
