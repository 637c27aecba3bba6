import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { writeDurably } from './durable.ts';
import { writing } from './write-error.ts';

export interface WrittenFile {
  /** Relative to the data directory. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** One name, or one below a directory: nothing that climbs out. */
const namePattern = /^(?!\.)[\w.@+-]{1,100}(\/(?!\.)[\w.@+-]{1,100})?$/;

/**
 * Some systems (Debian among them) keep the configuration outside the data directory. A backup carries it
 * (backup/outside-files.ts), and a restored directory gets it inside, so that it can be started where /etc knows
 * nothing of it. Says what was written. Throws `manifest-hostile`, `disk-full`, `io`.
 */
export async function writeOutsideConfiguration(manifest: ManifestReader, directory: string): Promise<WrittenFile[]> {
  const written: WrittenFile[] = [];
  for (const name of await outsideNames(manifest)) {
    const path = join(directory, name);
    if (existsSync(path)) continue;
    const stored = await manifest.attachment(`outside/${name}`);
    if (!stored) continue;
    const bytes = name === 'postgresql.conf' ? adapted(stored, directory) : stored;
    if (name.includes('/')) writing(path, () => mkdirSync(dirname(path), { recursive: true, mode: 0o700 }));
    writeDurably(path, bytes);
    written.push({ path: name, bytes });
  }
  const main = written.find(({ path }) => path === 'postgresql.conf');
  if (main) makeIncludedDirectories(Buffer.from(main.bytes).toString('utf8'), directory);
  return written;
}

/** Names of configuration files that lay outside, as they have them in a data directory. Throws `manifest-hostile`. */
export async function outsideNames(manifest: ManifestReader): Promise<readonly string[]> {
  const list = await manifest.attachment('outside');
  if (!list) return [];
  const names: unknown = parse(list);
  const isRight =
    Array.isArray(names) &&
    names.every((name) => typeof name === 'string' && namePattern.test(name) && name !== 'global/pg_control');
  if (isRight) return names as string[];
  throw new PgrecallError('manifest-hostile', 'the list of configuration files in the manifest is none', {
    details: { names },
  });
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Points the settings that name the old places at this directory; the last setting of a name counts. */
function adapted(bytes: Uint8Array, directory: string): Uint8Array {
  const quoted = directory.replaceAll('\\', '\\\\').replaceAll("'", "''");
  const lines = [
    '',
    '# Added by pgrecall restore: the original lay outside the data directory',
    `data_directory = '${quoted}'`,
    `hba_file = '${quoted}/pg_hba.conf'`,
    `ident_file = '${quoted}/pg_ident.conf'`,
    "external_pid_file = ''",
    '',
  ];
  return Buffer.concat([bytes, Buffer.from(lines.join('\n'))]);
}

function makeIncludedDirectories(text: string, directory: string): void {
  for (const name of includedDirectories(text)) {
    const path = join(directory, name);
    writing(path, () => mkdirSync(path, { recursive: true, mode: 0o700 }));
  }
}

/** Directories beside it that a postgresql.conf includes. One that is empty was not carried, and PostgreSQL does not start without it. */
export function includedDirectories(text: string): string[] {
  return [...text.matchAll(/^\s*include_dir\s*=?\s*'([^'/.][^'/]*)'/gm)].map(([, name = '']) => name);
}
