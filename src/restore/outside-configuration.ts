import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { writeDurably } from './durable.ts';

const files = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'];

/**
 * Some systems (Debian among them) keep the configuration outside the data directory. A backup carries it,
 * and a restored directory gets it inside, so that it can be started where /etc knows nothing of it.
 */
export async function writeOutsideConfiguration(manifest: ManifestReader, directory: string): Promise<void> {
  for (const name of files) {
    const path = join(directory, name);
    if (existsSync(path)) continue;
    const bytes = await manifest.attachment(`outside/${name}`);
    if (!bytes) continue;
    writeDurably(path, bytes);
    if (name === 'postgresql.conf') adapt(path, Buffer.from(bytes).toString('utf8'), directory);
  }
}

/** Points the settings that name the old places at this directory; the last setting of a name counts. */
function adapt(path: string, text: string, directory: string): void {
  for (const match of text.matchAll(/^\s*include_dir\s*=?\s*'([^'/]+)'/gm)) {
    mkdirSync(join(directory, match[1] ?? ''), { recursive: true, mode: 0o700 });
  }
  const quoted = directory.replaceAll("'", "''");
  appendFileSync(
    path,
    [
      '',
      '# Added by pgrecall restore: the original lay outside the data directory',
      `data_directory = '${quoted}'`,
      `hba_file = '${quoted}/pg_hba.conf'`,
      `ident_file = '${quoted}/pg_ident.conf'`,
      "external_pid_file = ''",
      '',
    ].join('\n'),
  );
}
