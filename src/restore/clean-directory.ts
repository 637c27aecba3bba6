import { lstatSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync, type Stats } from 'node:fs';
import { isErrno } from '../errors/pgrecall-error.ts';
import { comparePaths } from '../repository/manifest-path.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { decodePath, encodePath, fileSystemPath } from '../repository/path-text.ts';
import { lockFolder } from './directory-lock.ts';
import { isConfiguration, keepConfiguration, keptSuffix } from './kept-configuration.ts';
import { unfinishedName } from './unfinished-restore.ts';
import { writing } from './write-error.ts';

/*
 * Before a directory is restored in place: removes what the backup does not have, and what is of another kind there, and
 * keeps a copy of configuration that will be replaced. First, so that the space is there for what is to come. The directory and the manifest are walked side by side, both in the order
 * of the manifest.
 */

export interface CleanOptions {
  readonly directory: string;
  readonly manifest: ManifestReader;
  readonly tablespaces: ReadonlyMap<number, string>;
  /** Directories of tablespaces that the backup has not, whose files go, too. */
  readonly superfluous: ReadonlyMap<number, string>;
  /** The directory of this version in a tablespace: `PG_15_202209061`. */
  readonly versionDirectory: string;
  /** Nothing is removed; what would be is counted. */
  readonly only: boolean;
  readonly signal: AbortSignal;
}

export interface Cleaned {
  removedFiles: number;
  removedBytes: number;
}

export async function cleanDirectory(options: CleanOptions): Promise<Cleaned> {
  const cleaning = new Cleaning(options);
  await cleaning.run();
  return cleaning.cleaned;
}

/** Where the server writes its log unless it is told otherwise; what happened is told there. */
export const logDirectories = ['log', 'pg_log'];
/** The last one is what a recovery in place keeps of a directory that is a mount point (recover/keep-aside.ts). */
const leftAtTop = new Set([unfinishedName, lockFolder, 'lost+found', 'pgrecall-kept']);

/** What a restore in place neither removes nor writes where it is there. */
function isLeftAlone(path: string): boolean {
  const top = path.split('/', 1)[0] ?? '';
  // pg_control comes last, and is not there once anything is removed.
  if (logDirectories.includes(top) || path === 'global/pg_control') return true;
  return path === top && (leftAtTop.has(top) || top.endsWith(keptSuffix));
}

/** One entry of the manifest ahead. */
class Wanted {
  readonly #entries: AsyncIterator<StoredEntry>;
  #next: { readonly entry: StoredEntry; readonly bytes: Uint8Array } | undefined;
  #begun = false;

  constructor(manifest: ManifestReader) {
    this.#entries = manifest.entries()[Symbol.asyncIterator]();
  }

  async peek(): Promise<StoredEntry | undefined> {
    if (!this.#begun) await this.#advance();
    return this.#next?.entry;
  }

  /** The entry of that path; those before it are passed over. */
  async at(path: string): Promise<StoredEntry | undefined> {
    const bytes = encodePath(path);
    if (!this.#begun) await this.#advance();
    while (this.#next && comparePaths(this.#next.bytes, bytes) < 0) await this.#advance();
    return this.#next?.entry.path === path ? this.#next.entry : undefined;
  }

  async #advance(): Promise<void> {
    this.#begun = true;
    const { done, value } = await this.#entries.next();
    this.#next = done === true ? undefined : { entry: value, bytes: encodePath(value.path) };
  }
}

class Cleaning {
  readonly cleaned: Cleaned = { removedFiles: 0, removedBytes: 0 };
  readonly #options: CleanOptions;
  readonly #wanted: Wanted;

  constructor(options: CleanOptions) {
    this.#options = options;
    this.#wanted = new Wanted(options.manifest);
  }

  async run(): Promise<void> {
    const { directory, superfluous, versionDirectory } = this.#options;
    await this.#directory('', directory);
    for (const place of superfluous.values()) {
      const inside = `${place}/${versionDirectory}`;
      const stat = look(inside);
      if (stat) this.#remove(inside, stat);
    }
  }

  async #directory(path: string, absolutePath: string): Promise<void> {
    for (const name of namesIn(absolutePath)) {
      this.#options.signal.throwIfAborted();
      await this.#entry(path === '' ? name : `${path}/${name}`, `${absolutePath}/${name}`);
    }
  }

  async #entry(path: string, absolutePath: string): Promise<void> {
    if (isLeftAlone(path)) return;
    const stat = look(absolutePath);
    if (!stat) return;
    const wanted = await this.#wanted.at(path);
    if (isConfiguration(path) && stat.isFile() && !this.#options.only) keepConfiguration(absolutePath, stat, wanted);
    if (!wanted || !this.#fits(wanted, absolutePath, stat)) this.#remove(absolutePath, stat);
    else if (wanted.kind === 'directory') await this.#directory(path, absolutePath);
    else if (wanted.kind === 'symlink') await this.#tablespace(path, absolutePath);
  }

  /** Of a tablespace only the directory of this version is ours: others may be those of other versions or clusters. */
  async #tablespace(path: string, absolutePath: string): Promise<void> {
    await this.#wanted.at(`${path}/`);
    const inside = await this.#wanted.peek();
    if (inside?.path.startsWith(`${path}/`) !== true) return;
    const name = inside.path.slice(path.length + 1).split('/', 1)[0] ?? '';
    await this.#entry(`${path}/${name}`, `${absolutePath}/${name}`);
  }

  #fits(wanted: StoredEntry, absolutePath: string, stat: Stats): boolean {
    switch (wanted.kind) {
      case 'file':
        return stat.isFile();
      case 'directory':
        return stat.isDirectory() || (wanted.path === 'pg_wal' && leadsToDirectory(absolutePath, stat));
      case 'symlink': {
        const place = this.#options.tablespaces.get(Number(wanted.path.split('/')[1]));
        return stat.isSymbolicLink() && place !== undefined && leadsTo(absolutePath, place);
      }
    }
  }

  #remove(absolutePath: string, stat: Stats): void {
    const { only, signal } = this.#options;
    countTree(absolutePath, stat, this.cleaned, signal);
    const path = fileSystemPath(absolutePath);
    if (!only) writing(absolutePath, () => rmSync(path, { recursive: stat.isDirectory(), force: true }));
  }
}

function countTree(absolutePath: string, stat: Stats, cleaned: Cleaned, signal: AbortSignal): void {
  if (!stat.isDirectory()) {
    cleaned.removedFiles += 1;
    cleaned.removedBytes += stat.isFile() ? stat.size : 0;
    return;
  }
  signal.throwIfAborted();
  for (const name of namesIn(absolutePath)) {
    const path = `${absolutePath}/${name}`;
    const child = look(path);
    if (child) countTree(path, child, cleaned, signal);
  }
}

/** pg_wal may lie on a disk of its own, and stays there. */
function leadsToDirectory(absolutePath: string, stat: Stats): boolean {
  return stat.isSymbolicLink() && statSync(absolutePath, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether the link is one to that place. */
export function leadsTo(link: string, place: string): boolean {
  if (readlinkSync(link) === place) return true;
  try {
    return realpathSync(link) === realpathSync(place);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function look(absolutePath: string): Stats | undefined {
  return lstatSync(fileSystemPath(absolutePath), { throwIfNoEntry: false });
}

/** In the order of a manifest. */
function namesIn(directory: string): string[] {
  const names = readdirSync(fileSystemPath(directory), { encoding: 'buffer' });
  return names.toSorted((a, b) => Buffer.compare(a, b)).map((name) => decodePath(name));
}
