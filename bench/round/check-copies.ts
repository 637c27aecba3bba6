import { closeSync, openSync, readSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A backup that does not restore what was there has no speed: every result is compared with what it should be. */

/** Written by a starting server, or made anew by the one that restores. */
const differ = new Set(['pg_control', 'pg_internal.init', 'pg_filenode.map.tmp']);

/** Compares the relations of a restored data directory with those of the source, which has written nothing since. */
export function checkRestored(source: string, restored: string): void {
  for (const folder of ['base', 'global']) {
    const expected = filesBelow(join(source, folder));
    const found = new Set(filesBelow(join(restored, folder)));
    for (const path of expected) {
      if (!found.delete(path)) throw new Error(`${folder}/${path} was not restored`);
      checkSame(join(source, folder, path), join(restored, folder, path));
    }
    if (found.size > 0) throw new Error(`restored, but not in the source: ${[...found].slice(0, 5).join(', ')}`);
  }
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !differ.has(entry.name) && !/^t\d+_/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .toSorted();
}

export function checkSame(expected: string, found: string): void {
  const sizeBytes = statSync(expected).size;
  if (statSync(found).size !== sizeBytes) throw new Error(`${found} has not the size of ${expected}`);
  const [a, b] = [openSync(expected, 'r'), openSync(found, 'r')];
  const [left, right] = [Buffer.allocUnsafe(1_048_576), Buffer.allocUnsafe(1_048_576)];
  try {
    for (let at = 0; at < sizeBytes; at += left.length) {
      const length = readSync(a, left, 0, left.length, at);
      readSync(b, right, 0, right.length, at);
      if (left.compare(right, 0, length, 0, length) !== 0) throw new Error(`${found} differs from ${expected}`);
    }
  } finally {
    closeSync(a);
    closeSync(b);
  }
}
