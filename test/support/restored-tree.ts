import assert from 'node:assert/strict';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What is restored at one path, so that two trees can be compared; links without where they lead. */
export interface RestoredPath {
  readonly kind: 'file' | 'directory' | 'link';
  readonly mode: number;
  /** Of files. */
  readonly modifiedMs: number;
  readonly content: string;
}

/** Everything below a directory, links of tablespaces followed. */
export function restoredTree(directory: string): Map<string, RestoredPath> {
  const found = new Map<string, RestoredPath>();
  const add = (path: string, absolutePath: string): void => {
    const stat = lstatSync(absolutePath);
    const mode = stat.mode & 0o7777;
    if (stat.isFile()) {
      const content = readFileSync(absolutePath).toString('latin1');
      found.set(path, { kind: 'file', mode, modifiedMs: stat.mtimeMs, content });
      return;
    }
    const kind = stat.isSymbolicLink() ? 'link' : 'directory';
    found.set(path, { kind, mode, modifiedMs: 0, content: '' });
    for (const name of readdirSync(absolutePath)) add(path === '' ? name : `${path}/${name}`, join(absolutePath, name));
  };
  add('', directory);
  return found;
}

/**
 * Compares two trees so that a difference shows as a path. What a restore writes of itself has the time of the restore;
 * `except`: paths that only one of them has to have.
 */
export function sameTrees(
  found: ReadonlyMap<string, RestoredPath>,
  expected: ReadonlyMap<string, RestoredPath>,
  except: (path: string) => boolean = () => false,
): void {
  const paths = (of: ReadonlyMap<string, unknown>): string[] =>
    [...of.keys()].filter((path) => !except(path)).toSorted();
  assert.deepEqual(paths(found), paths(expected));
  for (const path of paths(expected)) {
    const [one, other] = [found.get(path), expected.get(path)];
    assert.deepEqual([one?.kind, one?.mode], [other?.kind, other?.mode], `kind and mode of "${path}"`);
    assert.ok(one?.content === other?.content, `"${path}" has another content`);
    // A manifest has milliseconds.
    const apartMs = Math.abs((one?.modifiedMs ?? 0) - (other?.modifiedMs ?? 0));
    assert.ok(writtenByRestore.test(path) || apartMs < 1.5, `time of "${path}": ${apartMs} ms apart`);
  }
}

const writtenByRestore =
  /^(pg_wal\/.*|backup_label|backup_manifest|recovery\.signal|postgresql\.auto\.conf|global\/pg_control)$/;
