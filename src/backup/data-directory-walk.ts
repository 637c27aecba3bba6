import { lstatSync, readdirSync, readlinkSync, realpathSync, statSync, type Stats } from 'node:fs';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { ruleFor } from '../postgres/data-directory-rules.ts';
import { unloggedToLeaveOut } from '../postgres/relation-file.ts';
import type { FileIdentity } from '../repository/manifest.ts';
import { decodePath, fileSystemPath } from '../repository/path-text.ts';

/*
 * Walks a data directory the way PostgreSQL's own base backup does (backup/basebackup.c, sendDir): the
 * rules for what is left out are in postgres/data-directory-rules.ts; this file knows directories, links
 * and what may vanish under way.
 *
 * Order: a directory, then what is in it by the bytes of the names. It is the order of the manifest, the
 * same in every backup, so that two manifests can be compared side by side without holding either.
 *
 * Names are bytes; as text they are as repository/path-text.ts has them.
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
  /** Of a file, where the file system knows when files were born. The time of change is 0 where it was too recent to tell anything. */
  readonly identity?: FileIdentity;
  /** Of an unlogged relation, and not its init fork: WAL does not tell of its changes. */
  readonly unlogged?: true;
}

export interface WalkOptions {
  readonly directory: string;
  /** The directory of this server version in a tablespace: `PG_15_202209061`. */
  readonly tablespaceVersionDirectory: string;
  /**
   * Takes the content of unlogged relations along: it is whole after a shutdown, and a server that starts without
   * recovery does not make them anew.
   */
  readonly keepUnlogged?: boolean;
  /**
   * Milliseconds since 1970; files that were changed later have no time of change that tells anything: one may be changed
   * again without getting another, since file systems count in milliseconds, some in seconds. None has without this.
   */
  readonly settledBeforeMs?: number;
  /** Told what an administrator should know: links that were followed, files that are neither. */
  readonly warn: (text: string) => void;
}

/** How long before a walk a file must have been left alone for its time of change to tell that it still is. */
export const settlingMs = 2000;

interface Walk extends WalkOptions {
  /** Directories below the data directory that are tablespaces: what is in them belongs to those. */
  readonly tablespacesInside: ReadonlySet<string>;
}

const maxDepth = 32;
const tablespaceLink = /^pg_tblspc\/\d+$/;

/** Every file, directory and tablespace link that belongs into a backup, except pg_control, which is copied last. */
export function* walkDataDirectory(options: WalkOptions): Generator<WalkedEntry> {
  const stat = statSync(options.directory);
  const walk: Walk = { ...options, tablespacesInside: findTablespacesInside(options.directory) };
  yield entry('directory', '', options.directory, stat);
  yield* walkDirectory(walk, '', options.directory, 0);
}

/** PostgreSQL warns about a tablespace inside the data directory, and allows it. */
function findTablespacesInside(directory: string): Set<string> {
  const root = `${realpathSync(directory)}/`;
  const inside = new Set<string>();
  for (const name of readDirectory(`${directory}/pg_tblspc`)) {
    const path = `${directory}/pg_tblspc/${name}`;
    if (vanishing(() => lstatSync(path))?.isSymbolicLink() !== true) continue;
    const real = vanishing(() => realpathSync(path));
    if (real?.startsWith(root) === true) inside.add(real.slice(root.length));
  }
  return inside;
}

function* walkDirectory(walk: Walk, path: string, absolutePath: string, depth: number): Generator<WalkedEntry> {
  if (depth > maxDepth) {
    throw new PgrecallError('data-directory', `"${absolutePath}" is more than ${maxDepth} directories deep`, {
      hint: 'look for a symbolic link that leads back into the data directory',
    });
  }
  const found = readDirectory(absolutePath);
  const unlogged = unloggedToLeaveOut(found);
  for (const name of found) {
    const isUnlogged = unlogged.has(name);
    if (isUnlogged && walk.keepUnlogged !== true) continue;
    const entries = walkEntry(walk, path === '' ? name : `${path}/${name}`, `${absolutePath}/${name}`, depth);
    if (isUnlogged) for (const one of entries) yield { ...one, unlogged: true };
    else yield* entries;
  }
}

function* walkEntry(walk: Walk, path: string, absolutePath: string, depth: number): Generator<WalkedEntry> {
  const stat = vanishing(() => lstatSync(fileSystemPath(absolutePath)));
  if (!stat) return;
  if (stat.isSymbolicLink()) yield* walkLink(walk, path, absolutePath, stat, depth);
  else yield* walkPlain(walk, path, absolutePath, stat, depth);
}

/** What is no link, or what a link leads to. */
function* walkPlain(
  walk: Walk,
  path: string,
  absolutePath: string,
  stat: Stats,
  depth: number,
): Generator<WalkedEntry> {
  const rule = ruleFor(path, stat.isDirectory() ? 'directory' : 'file');
  if (rule === 'leave-out' || rule === 'control-file') return;
  if (stat.isDirectory()) {
    yield entry('directory', path, absolutePath, stat);
    if (rule === 'empty-directory') yield* emptyDirectoryContent(path, absolutePath, stat);
    else if (!walk.tablespacesInside.has(path)) yield* walkDirectory(walk, path, absolutePath, depth + 1);
  } else if (stat.isFile()) {
    yield { ...entry('file', path, absolutePath, stat), ...identified(stat, walk.settledBeforeMs ?? 0) };
  } else {
    walk.warn(`"${path}" is left out: it is neither a file, a directory nor a link`);
  }
}

/** What has to be in a directory whose content is left out: pg_wal needs its archive_status. */
function* emptyDirectoryContent(path: string, absolutePath: string, stat: Stats): Generator<WalkedEntry> {
  if (path !== 'pg_wal') return;
  for (const name of ['archive_status', 'summaries']) {
    const child = vanishing(() => statSync(`${absolutePath}/${name}`));
    if (child?.isDirectory() === true || name === 'archive_status') {
      yield entry('directory', `pg_wal/${name}`, `${absolutePath}/${name}`, child ?? stat);
    }
  }
}

function* walkLink(walk: Walk, path: string, absolutePath: string, link: Stats, depth: number): Generator<WalkedEntry> {
  const target = vanishing(() => decodePath(readlinkSync(fileSystemPath(absolutePath), { encoding: 'buffer' })));
  if (target === undefined) return;
  if (tablespaceLink.test(path)) {
    yield* walkTablespace(walk, path, absolutePath, { ...entry('symlink', path, absolutePath, link), target }, depth);
    return;
  }
  const stat = vanishing(() => statSync(fileSystemPath(absolutePath)));
  if (!stat) {
    walk.warn(`"${path}" is left out: it is a symbolic link to "${target}", which does not exist`);
    return;
  }
  const rule = ruleFor(path, stat.isDirectory() ? 'directory' : 'file');
  if (rule === 'leave-out' || rule === 'control-file') return;
  if (rule === 'empty-directory') {
    walk.warn(`"${path}" is a symbolic link to "${target}"; a restore makes a directory of it`);
  } else {
    if (stat.isDirectory()) refuseLoop(path, absolutePath);
    walk.warn(`"${path}" is a symbolic link to "${target}"; what it leads to is backed up in its place`);
  }
  yield* walkPlain(walk, path, absolutePath, stat, depth);
}

function* walkTablespace(
  walk: Walk,
  path: string,
  absolutePath: string,
  link: WalkedEntry,
  depth: number,
): Generator<WalkedEntry> {
  const name = walk.tablespaceVersionDirectory;
  const inside = `${absolutePath}/${name}`;
  const stat = vanishing(() => statSync(inside));
  if (!stat) {
    // Dropped just now: its directory goes first, then the link. A disk that is not mounted keeps the link.
    if (!vanishing(() => lstatSync(absolutePath))) return;
    throw new PgrecallError('data-directory', `the tablespace "${path}" has no directory "${name}"`, {
      hint: `look at where the link "${absolutePath}" leads; if the tablespace was dropped just now, start the backup again`,
    });
  }
  yield link;
  yield entry('directory', `${path}/${name}`, inside, stat);
  yield* walkDirectory(walk, `${path}/${name}`, inside, depth + 2);
}

function refuseLoop(path: string, absolutePath: string): void {
  const slash = Buffer.from('/');
  const parent = absolutePath.slice(0, absolutePath.lastIndexOf('/'));
  const real = realpathSync(fileSystemPath(absolutePath), { encoding: 'buffer' });
  const lies = Buffer.concat([realpathSync(fileSystemPath(parent), { encoding: 'buffer' }), slash]);
  const leads = Buffer.concat([real, slash]);
  if (lies.subarray(0, leads.length).equals(leads)) {
    throw new PgrecallError('data-directory', `"${path}" is a symbolic link that leads back to "${decodePath(real)}"`);
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

/** Nothing where the file system does not know when a file was born: its number may be another's by now. */
function identified(stat: Stats, settledBeforeMs: number): { readonly identity?: FileIdentity } {
  if (!Number.isSafeInteger(stat.ino) || stat.birthtimeMs <= 0) return {};
  const changedMicros = stat.ctimeMs < settledBeforeMs ? microsOf(stat.ctimeMs) : 0;
  return { identity: { inode: stat.ino, bornMicros: microsOf(stat.birthtimeMs), changedMicros } };
}

/** Milliseconds have no more than four digits behind the point as Node gives them. */
function microsOf(milliseconds: number): number {
  return Math.floor(milliseconds * 1000);
}

/** In the order of the names' bytes. */
function readDirectory(path: string): string[] {
  const names = vanishing(() => readdirSync(fileSystemPath(path), { encoding: 'buffer' })) ?? [];
  return names.toSorted((a, b) => Buffer.compare(a, b)).map((name) => decodePath(name));
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
