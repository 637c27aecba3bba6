import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkArchitecture } from './support/architecture.ts';
import { codeOnly, importsOf, type SourceFile } from './support/source-text.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function sources(): readonly SourceFile[] {
  const paths = globSync(['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'scripts/**/*.ts'], { cwd: root });
  return paths
    .filter((path) => !path.includes('/assembly/'))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

/** Sources that break no rule, the planted ones among them. */
const sound: readonly SourceFile[] = [
  { path: 'src/errors/catalogue.ts', text: 'export const catalogue = {};\n' },
  {
    path: 'src/bytes/reader.ts',
    text: "import { catalogue } from '../errors/catalogue.ts';\nexport const a = catalogue;\n",
  },
  { path: 'src/postgres/lsn.ts', text: "import { createHash } from 'node:crypto';\n// The Date is that of process.\n" },
  {
    path: 'src/repository/pack.ts',
    text: "import { catalogue } from '../errors/catalogue.ts';\nexport const b = catalogue;\n",
  },
  { path: 'src/storage/storage.ts', text: "export { type Local } from './local.ts';\n" },
  { path: 'src/storage/local.ts', text: 'export type Local = 1;\n' },
  { path: 'src/version.ts', text: "export const version = '1';\n" },
  {
    path: 'src/cli/run.ts',
    text: "import { version } from '../version.ts';\nexport const run = (): string => version;\n",
  },
  { path: 'src/main.ts', text: "const { run } = await import('./cli/run.ts');\nrun();\n" },
];

/** What is planted among them, by the rule that has to catch it. */
const planted: readonly (readonly [rule: string, what: string, path: string, text: string])[] = [
  ['ranks', 'an import upwards', 'src/postgres/a.ts', "import { run } from '../cli/run.ts';\n"],
  ['ranks', 'an import of a type upwards', 'src/wal/a.ts', "import type { Pack } from '../repository/pack.ts';\n"],
  [
    'ranks',
    'an import that is loaded late',
    'src/storage/a.ts',
    "const pack = await import('../repository/pack.ts');\n",
  ],
  [
    'ranks',
    'an import over several lines',
    'src/storage/a.ts',
    "import {\n  a,\n  b,\n} from '../repository/pack.ts';\n",
  ],
  [
    'ranks',
    'a re-export upwards',
    'src/storage/a.ts',
    "export { b } from '../repository/pack.ts';\nexport const c = 1;\n",
  ],
  ['ranks', 'an import between folders of one rank', 'src/protocol/a.ts', "import '../storage/local.ts';\n"],
  ['ranks', 'an import of the composition root', 'src/cli/a.ts', "import '../main.ts';\n"],
  ['ranks', 'an import of a test', 'src/cli/a.ts', "import '../../test/support/cluster.ts';\n"],
  ['ranks', 'a folder without a rank', 'src/extras/a.ts', 'export const a = 1;\n'],
  [
    'ranks',
    'a repository that knows PostgreSQL',
    'src/repository/a.ts',
    "import type { Lsn } from '../postgres/lsn.ts';\n",
  ],
  ['ranks', 'a repository that knows WAL', 'src/repository/a.ts', "import { record } from '../wal/record.ts';\n"],
  ['purity', 'a file read', 'src/postgres/a.ts', "import { readFileSync } from 'node:fs';\n"],
  ['purity', 'a package', 'src/wal/a.ts', "import pg from 'pg';\n"],
  ['purity', 'random bytes', 'src/wal/a.ts', "import { createHash, randomBytes } from 'node:crypto';\n"],
  ['purity', 'all of a module', 'src/wal/a.ts', "import * as crypto from 'node:crypto';\n"],
  ['purity', 'the clock', 'src/retention/a.ts', 'export const now = new Date();\n'],
  ['purity', 'the clock in a template', 'src/bytes/a.ts', 'export const now = `it is ${Date.now()}`;\n'],
  ['purity', 'chance', 'src/bytes/a.ts', 'export const a = Math.random();\n'],
  ['purity', 'the environment', 'src/restore/target-plan.ts', "export const a = process.env['HOME'];\n"],
  ['length', 'a file of 401 lines', 'src/cli/a.ts', 'export const a = 1;\n'.repeat(401)],
  ['names', 'a banned name of a file', 'src/cli/backup-utils.ts', 'export const a = 1;\n'],
  ['names', 'a banned name of a folder', 'test/helpers/a.ts', 'export const a = 1;\n'],
  ['names', 'a banned name of a class', 'src/cli/a.ts', 'export class BackupManager {}\n'],
  ['names', 'a banned name of a function', 'src/cli/a.ts', 'export async function readSnapshot(): Promise<void> {}\n'],
  ['names', 'a name in another case', 'src/cli/listBackups.ts', 'export const a = 1;\n'],
  ['barrels', 'an index', 'src/cli/index.ts', 'export const a = 1;\n'],
  [
    'barrels',
    'a module that only passes on',
    'src/cli/all.ts',
    "export { run } from './run.ts';\nexport type { A } from './a.ts';\n",
  ],
  [
    'barrels',
    'a module that passes on all of another',
    'src/cli/a.ts',
    "export * from './run.ts';\nexport const a = 1;\n",
  ],
  ['default exports', 'a default export', 'src/cli/a.ts', 'export default function run(): void {}\n'],
  ['default exports', 'a default export by name', 'src/cli/a.ts', 'const a = 1;\nexport { a as default };\n'],
  [
    'cycles',
    'a module that imports itself in the end',
    'src/storage/local.ts',
    "import { type A } from './storage.ts';\n",
  ],
];

describe('the architecture', () => {
  it('holds in the sources as they are', () => {
    const lines = checkArchitecture(sources()).map(({ rule, path, found }) => `${path}: ${rule}: ${found}`);
    assert.deepEqual(lines, []);
  });

  it('has no complaint about sources that keep the rules', () => {
    assert.deepEqual(checkArchitecture(sound), []);
  });

  for (const [rule, what, path, text] of planted) {
    it(`does not allow ${what}`, () => {
      const files = [...sound.filter((file) => file.path !== path), { path, text }];
      const found = checkArchitecture(files);
      assert.deepEqual([...new Set(found.map((violation) => violation.rule))], [rule], JSON.stringify(found));
    });
  }
});

describe('the look at sources', () => {
  const cases: readonly (readonly [source: string, code: string])[] = [
    ['a // Date\nb', 'a\nb'],
    ['a /* Date\n Date */ b', 'a\nb'],
    ['a(\'Date\', "Date\\"Date")', 'a( ,  )'],
    ['a(`Date ${b + `Date ${c({ d: 1 })} Date`} Date`)', 'a( b + c({ d: 1 })    )'],
    ["/['\"`]/.test(a) // 'Date", ' .test(a)'],
    ['a / b / Date', 'a / b / Date'],
    ['`\\`${a}$`+b', 'a +b'],
  ];
  for (const [source, code] of cases) {
    it(`sees the code of ${JSON.stringify(source)}`, () => {
      const seen = codeOnly(source);
      const squeezed = (text: string): string => text.replaceAll(/[^\S\n]+/g, '');
      assert.equal(seen.length, source.length);
      assert.equal(squeezed(seen), squeezed(code));
    });
  }

  it('finds imports of every kind, and none in comments', () => {
    const text = [
      "import a, { type B, c as d } from './one.ts';",
      "import './two.ts';",
      "export type { E } from './three.ts';",
      "const f = await import('./four.ts');",
      "type G = import('./five.ts').G;",
      "// import './six.ts';",
    ].join('\n');
    assert.deepEqual(
      importsOf(text).map(({ specifier }) => specifier),
      ['./one.ts', './two.ts', './three.ts', './four.ts', './five.ts'],
    );
    assert.deepEqual(importsOf(text)[0]?.names, ['B', 'c']);
    assert.deepEqual(
      importsOf(text).map(({ typesOnly }) => typesOnly),
      [false, false, true, false, false],
    );
  });
});
