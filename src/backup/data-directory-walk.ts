import { lstatSync, readdirSync, readlinkSync, realpathSync, statSync, type Dirent, type Stats } from 'node:fs';
import { join } from 'node:path';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { ruleFor } from '../postgres/data-directory-rules.ts';
import { unloggedToLeaveOut } from '../postgres/relation-file.ts';

/*
 * Walks a data directory the way PostgreSQL's own base backup does (backup/basebackup.c, sendDir): the
 * rules for what is left out are in postgres/data-directory-rules.ts; this file knows directories, links
 * and what may vanish under way.
 *
 * Order: a directory, then what is in it by the bytes of the names. It is the order of the manifest, the
 * same in every backup, so that two manifests can be compared side by side without holding either.
 */

export interface WalkedEntry {
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Relative to the data directory, `/`-separated; in a tablespace `pg_tblspc/<oid>/PG_…`. */
  readonly path: string;
  /** Where to read it now. */
  readonly absolutePath: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a tablespace's link. */
  readonly target?: string;
}

export interface WalkOptions {
  readonly directory: string;
  /** The directory of this server version in a tablespace: `PG_15_202209061`. */
  readonly tablespaceVersionDirectory: string;
  /** Told what an administrator should know: links that were followed, files that are neither. */
  readonly warn: (text: string) => void;
}

const maxDepth = 32;

/** Every file, directory and tablespace link that belongs into a backup, except pg_control, which is copied last. */
export function* walkDataDirectory(options: WalkOptions): Generator<WalkedEntry> {
  const stat = statSync(options.directory);
  yield entry('directory', '', options.directory, stat);
  yield* walkDirectory(options, '', options.directory, 0);
}

function* walkDirectory(
  options: WalkOptions,
  path: string,
  absolutePath: string,
  depth: number,
): Generator<WalkedEntry> {
  if (depth > maxDepth) {
    throw new PgrecallError('data-directory', `"${absolutePath}" is more than ${maxDepth} directories deep`, {
      hint: 'look for a symbolic link that leads back into the data directory',
    });
  }
  const found = readDirectory(absolutePath);
  const leftOut = unloggedToLeaveOut(found.map((dirent) => dirent.name));
  for (const dirent of found) {
    if (leftOut.has(dirent.name)) continue;
    const childPath = path === '' ? dirent.name : `${path}/${dirent.name}`;
    if (dirent.name.includes('\u{fffd}')) {
      options.warn(`"${childPath}" is left out: its name is not UTF-8`);
      continue;
    }
    yield* walkEntry(options, childPath, join(absolutePath, dirent.name), depth);
  }
}

function* walkEntry(options: WalkOptions, path: string, absolutePath: string, depth: number): Generator<WalkedEntry> {
  const stat = vanishing(() => lstatSync(absolutePath));
  if (!stat) return;
  if (stat.isSymbolicLink()) {
    yield* walkLink(options, path, absolutePath, stat, depth);
    return;
  }
  const kind = stat.isDirectory() ? 'directory' : 'file';
  const rule = ruleFor(path, kind);
  if (rule === 'leave-out' || rule === 'control-file') return;
  if (stat.isDirectory()) {
    yield entry('directory', path, absolutePath, stat);
    if (rule === 'empty-directory') yield* emptyDirectoryContent(path, absolutePath, stat);
    else yield* walkDirectory(options, path, absolutePath, depth + 1);
  } else if (stat.isFile()) {
    yield entry('file', path, absolutePath, stat);
  } else {
    options.warn(`"${path}" is left out: it is neither a file, a directory nor a link`);
  }
}

/** What has to be in a directory whose content is left out: pg_wal needs its archive_status. */
function* emptyDirectoryContent(path: string, absolutePath: string, stat: Stats): Generator<WalkedEntry> {
  if (path !== 'pg_wal') return;
  for (const name of ['archive_status', 'summaries']) {
    const child = vanishing(() => statSync(join(absolutePath, name)));
    if (child?.isDirectory() === true || name === 'archive_status') {
      yield entry('directory', `pg_wal/${name}`, join(absolutePath, name), child ?? stat);
    }
  }
}

function* walkLink(
  options: WalkOptions,
  path: string,
  absolutePath: string,
  link: Stats,
  depth: number,
): Generator<WalkedEntry> {
  const target = vanishing(() => readlinkSync(absolutePath));
  if (target === undefined) return;
  if (/^pg_tblspc\/\d+$/.test(path)) {
    yield { ...entry('symlink', path, absolutePath, link), target };
    yield* walkTablespace(options, path, absolutePath, depth);
    return;
  }
  const stat = vanishing(() => statSync(absolutePath));
  if (!stat) {
    options.warn(`"${path}" is left out: it is a symbolic link to "${target}", which does not exist`);
    return;
  }
  const rule = ruleFor(path, stat.isDirectory() ? 'directory' : 'file');
  if (rule === 'leave-out' || rule === 'control-file') return;
  if (stat.isDirectory() && rule !== 'empty-directory') refuseLoop(options.directory, path, absolutePath);
  options.warn(`"${path}" is a symbolic link to "${target}"; what it leads to is backed up in its place`);
  if (stat.isDirectory()) {
    yield entry('directory', path, absolutePath, stat);
    if (rule === 'empty-directory') yield* emptyDirectoryContent(path, absolutePath, stat);
    else yield* walkDirectory(options, path, absolutePath, depth + 1);
  } else if (stat.isFile()) {
    yield entry('file', path, absolutePath, stat);
  }
}

function* walkTablespace(
  options: WalkOptions,
  path: string,
  absolutePath: string,
  depth: number,
): Generator<WalkedEntry> {
  const name = options.tablespaceVersionDirectory;
  const inside = join(absolutePath, name);
  const stat = vanishing(() => statSync(inside));
  if (!stat) {
    throw new PgrecallError('data-directory', `the tablespace "${path}" has no directory "${name}"`, {
      hint: `look at where the link "${absolutePath}" leads`,
    });
  }
  yield entry('directory', `${path}/${name}`, inside, stat);
  yield* walkDirectory(options, `${path}/${name}`, inside, depth + 2);
}

function refuseLoop(directory: string, path: string, absolutePath: string): void {
  const real = realpathSync(absolutePath);
  const root = realpathSync(directory);
  if (root === real || root.startsWith(`${real}/`)) {
    throw new PgrecallError('data-directory', `"${path}" is a symbolic link that leads back to "${real}"`);
  }
}

function entry(kind: WalkedEntry['kind'], path: string, absolutePath: string, stat: Stats): WalkedEntry {
  return {
    kind,
    path,
    absolutePath,
    sizeBytes: kind === 'file' ? stat.size : 0,
    modifiedMs: Math.floor(stat.mtimeMs),
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

function readDirectory(path: string): Dirent[] {
  const found = vanishing(() => readdirSync(path, { withFileTypes: true })) ?? [];
  return found.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}

/** `undefined` where the thing is gone: a running server drops relations and databases at any time. */
function vanishing<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    if (isErrno(error, 'EACCES', 'EPERM')) {
      throw new PgrecallError('data-directory', `no right to read ${error.path ?? 'a file'}`, {
        hint: 'run pgrecall as the user that owns the data directory, or as root',
        cause: error,
      });
    }
    throw error;
  }
}
