import { parseSettings } from '../postgres/settings-file.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { includedDirectories, outsideNames } from '../restore/outside-configuration.ts';

export interface OutsideMembers {
  /** Relative to the data directory. */
  readonly files: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly directories: readonly string[];
}

/** They say where things were; where they will be is not known. */
const places = new Set(['data_directory', 'hba_file', 'ident_file', 'external_pid_file']);

/**
 * Configuration that lay outside of the data directory, as it goes into an archive: beside the rest, and with the
 * settings that name the old places commented out, so that PostgreSQL looks where the archive is unpacked.
 */
export async function readOutsideMembers(
  manifest: ManifestReader,
  present: ReadonlySet<string>,
): Promise<OutsideMembers> {
  const files: { name: string; bytes: Uint8Array }[] = [];
  const directories = new Set<string>();
  for (const name of await outsideNames(manifest)) {
    const bytes = present.has(name) ? undefined : await manifest.attachment(`outside/${name}`);
    if (!bytes) continue;
    if (name.includes('/')) directories.add(name.slice(0, name.indexOf('/')));
    const text = Buffer.from(bytes).toString('utf8');
    const isSettings = name.endsWith('.conf') && name !== 'pg_hba.conf' && name !== 'pg_ident.conf';
    files.push({ name, bytes: isSettings ? Buffer.from(withoutPlaces(text)) : bytes });
    if (name === 'postgresql.conf') for (const directory of includedDirectories(text)) directories.add(directory);
  }
  return { files, directories: [...directories].filter((name) => !present.has(name)) };
}

function withoutPlaces(text: string): string {
  const found = new Set(parseSettings(text).flatMap(({ name, line }) => (places.has(name) ? [line] : [])));
  if (found.size === 0) return text;
  return text
    .split('\n')
    .map((line, i) => (found.has(i) ? `# not of this copy: ${line}` : line))
    .join('\n');
}
