import { comparePaths } from '../repository/manifest-path.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';
import type { WalkedEntry } from './data-directory-walk.ts';

/** What is in the data directory now, and the file that the reference has under the same path. */
export interface BesideEntry {
  readonly entry: WalkedEntry;
  readonly before: StoredEntry | undefined;
}

/**
 * Walks the data directory and the reference's manifest side by side: both come in the order of paths, so that neither has
 * to be held. What only the reference has is passed over: it is gone.
 */
export async function* walkBeside(
  entries: Iterable<WalkedEntry>,
  reference: AsyncIterable<StoredEntry> | undefined,
): AsyncGenerator<BesideEntry> {
  if (!reference) {
    for (const entry of entries) yield { entry, before: undefined };
    return;
  }
  const stored = reference[Symbol.asyncIterator]();
  try {
    let next = await stored.next();
    for (const entry of entries) {
      while (next.done !== true && isBefore(next.value.path, entry.path)) next = await stored.next();
      const found = next.done !== true && next.value.path === entry.path ? next.value : undefined;
      yield { entry, before: found?.kind === 'file' && entry.kind === 'file' ? found : undefined };
    }
  } finally {
    await stored.return?.();
  }
}

function isBefore(path: string, other: string): boolean {
  return path !== other && comparePaths(encodePath(path), encodePath(other)) < 0;
}
