import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { comparePaths } from '../repository/manifest-path.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';
import { collect } from '../../test/support/test-repository.ts';
import type { WalkedEntry } from './data-directory-walk.ts';
import { walkBeside } from './walk-beside.ts';

interface Named {
  readonly path: string;
  readonly kind: 'file' | 'directory';
}

const namedArbitrary = fc
  .uniqueArray(
    fc.record({
      path: fc
        .array(fc.constantFrom('base', '1', '16384', '16384.1', '16384_fsm', 'a', 'é'), { minLength: 1, maxLength: 3 })
        .map((names) => names.join('/')),
      kind: fc.constantFrom('file' as const, 'directory' as const),
    }),
    { selector: ({ path }) => path, maxLength: 20 },
  )
  .map((found) => found.toSorted((a, b) => comparePaths(encodePath(a.path), encodePath(b.path))));

function walked({ path, kind }: Named): WalkedEntry {
  return { path, kind, absolutePath: `/data/${path}`, sizeBytes: 0, modifiedMs: 0, mode: 0, uid: 0, gid: 0 };
}

async function* stored(entries: readonly Named[]): AsyncGenerator<StoredEntry> {
  for (const { path, kind } of entries) {
    const maps = { extents: [], sums: [] };
    const rest = { mode: 0, owner: '', group: '', modifiedMs: 0, sizeBytes: 0, crc32c: 0, flags: 0 };
    yield { path, kind, ...rest, maps, extentCount: 0, loadMaps: async () => maps };
  }
}

test('each file is met beside the one that the reference has at its path, and no other', async () => {
  await fc.assert(
    fc.asyncProperty(namedArbitrary, namedArbitrary, async (now, before) => {
      const files = new Set(before.filter(({ kind }) => kind === 'file').map(({ path }) => path));
      const found = await collect(walkBeside(now.map(walked), stored(before)));
      assert.deepEqual(
        found.map(({ entry, before: met }) => [entry.path, met?.path]),
        now.map(({ path, kind }) => [path, kind === 'file' && files.has(path) ? path : undefined]),
      );
    }),
  );
});

test('without a reference there is nothing beside', async () => {
  const [only] = await collect(walkBeside([walked({ path: 'a', kind: 'file' })], undefined));
  assert.deepEqual(only?.before, undefined);
});
