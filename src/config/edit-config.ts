import {
  chmodSync,
  chownSync,
  existsSync,
  fsyncSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'smol-toml';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { asTable, parseToml, systemConfigFile, userConfigFile } from './config-file.ts';

/*
 * How `init` changes a configuration that people write too: line by line, so that comments and order stay. What
 * comes out is parsed again, and written only where it says what it should.
 */

/** What `init` writes about a cluster, by the names that the file has. */
export interface ClusterEntry {
  readonly connection?: string;
  readonly repository?: string;
  readonly data_directory?: string;
  readonly passphrase_file?: string;
  readonly pg_bin?: string;
  readonly state_directory?: string;
}

/** Where `init` writes when there is no configuration yet and none is named. */
export function defaultConfigFile(options: { readonly uid: number | undefined; readonly home: string }): string {
  return options.uid === 0 ? systemConfigFile : options.home + userConfigFile;
}

const newFile = '# Configuration of pgrecall; its guide explains every key.\n';

/**
 * The file's new text with `entry` in the cluster's table, which is added at the end where it is missing. Other
 * lines stay as they are. Throws `config-invalid` where the file is written in a way that this cannot change.
 */
export function withCluster(text: string | undefined, file: string, name: string, entry: ClusterEntry): string {
  const before = parseToml(text ?? '', file);
  const clusters = asTable(file, 'clusters', before['clusters'] ?? {});
  const table = name in clusters ? asTable(file, `clusters.${name}`, clusters[name]) : undefined;
  const changed = table ? withKeys(text ?? '', name, entry) : withTable(text ?? newFile, name, entry);
  const wanted = { ...before, clusters: { ...clusters, [name]: { ...table, ...entry } } };
  if (!isDeepStrictEqual(plain(parseOrNothing(changed, file)), plain(wanted))) {
    throw new PgrecallError('config-invalid', `"${file}" is written in a way that pgrecall cannot change by itself`, {
      hint: `put into its table [clusters.${name}]: ${stringify(entry).trim().replaceAll('\n', '; ')}`,
    });
  }
  return changed;
}

function withTable(text: string, name: string, entry: ClusterEntry): string {
  const gap = text === '' ? '' : text.endsWith('\n') ? '\n' : '\n\n';
  return `${text}${gap}${stringify({ clusters: { [name]: entry } }).trim()}\n`;
}

/** Replaces or adds lines inside the table `[clusters.<name>]`. */
function withKeys(text: string, name: string, entry: ClusterEntry): string {
  const lines = text.split('\n');
  const header = lines.findIndex((line) => isHeaderOf(line, name));
  if (header < 0) return text;
  const next = lines.findIndex((line, i) => i > header && /^\s*\[/.test(line));
  let end = next < 0 ? lines.length : next;
  while (end > header + 1 && (lines[end - 1] ?? '').trim() === '') end -= 1;
  for (const [key, value] of Object.entries(entry)) {
    const line = stringify({ [key]: value }).trim();
    const at = lines.findIndex((old, i) => i > header && i < end && new RegExp(`^\\s*"?${key}"?\\s*=`).test(old));
    if (at >= 0) {
      lines[at] = line;
    } else {
      lines.splice(end, 0, line);
      end += 1;
    }
  }
  return lines.join('\n');
}

function isHeaderOf(line: string, name: string): boolean {
  const found = /^\s*\[\s*"?clusters"?\s*\.\s*["']?([A-Za-z0-9_-]+)["']?\s*\]\s*(?:#.*)?$/.exec(line);
  return found?.[1] === name;
}

function parseOrNothing(text: string, file: string): unknown {
  try {
    return parseToml(text, file);
  } catch {
    return undefined;
  }
}

/** The parser's tables have no prototype, which matters to a deep comparison. */
function plain(value: unknown): unknown {
  return structuredClone(value);
}

/** Whole or not at all; a file that is there keeps its owner, and its mode unless `mode` asks for less. */
export function writeConfig(
  file: string,
  text: string,
  access: { readonly mode: number; readonly gid: number | undefined },
): void {
  const real = existsSync(file) ? realpathSync(file) : file;
  const there = statSync(real, { throwIfNoEntry: false });
  mkdirSync(dirname(real), { recursive: true, mode: 0o755 });
  const temporary = `${real}.tmp`;
  const descriptor = openSync(temporary, 'w', 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  if (process.getuid?.() === 0) chownSync(temporary, there?.uid ?? 0, access.gid ?? there?.gid ?? 0);
  chmodSync(temporary, there ? there.mode & 0o777 & access.mode : access.mode);
  renameSync(temporary, real);
}

/** `undefined` where there is none. */
export function readConfigText(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
