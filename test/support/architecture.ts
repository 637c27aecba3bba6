import { posix } from 'node:path';
import { codeOnly, importsOf, type Import, type SourceFile } from './source-text.ts';

/*
 * The rules of docs/architecture.md that a machine can hold. Each takes the sources as data, so that a test can plant a
 * violation of it.
 */

export interface Violation {
  readonly rule: string;
  readonly path: string;
  readonly found: string;
}

/** A folder imports only from folders of a lower rank, and from itself. */
const ranks: Readonly<Record<string, number>> = {
  bytes: 0,
  errors: 0,
  postgres: 1,
  wal: 2,
  protocol: 2,
  tar: 2,
  storage: 2,
  repository: 3,
  threads: 3,
  connection: 3,
  server: 3,
  config: 3,
  archive: 4,
  backup: 4,
  logical: 4,
  retention: 4,
  restore: 5,
  standby: 5,
  export: 6,
  demo: 6,
  recover: 6,
  cli: 7,
};

/** The few that lean on one of their own rank. */
const neighbours = new Set([
  'bytes -> errors',
  // A name of a cluster is checked in one place.
  'config -> repository',
  // A backup is complete only when its WAL is in the repository.
  'backup -> archive',
  // A dump is a backup: its identifier, its packs, and how a failed one is taken back.
  'logical -> backup',
  // A standby is a recovery that does not end.
  'standby -> restore',
]);

/** However the ranks are: the repository stores what it does not understand. */
const forbidden = new Set(['repository -> postgres', 'repository -> wal']);

/** Modules directly in src/: what everything may import, and the composition root, which nothing may. */
const foundations = new Set(['version.ts', 'globals.d.ts']);

const mostLines = 400;

const pureFolders = new Set(['bytes', 'postgres', 'wal', 'tar', 'retention']);
/** What computes, and touches nothing. */
const pureModules = new Map([
  ['node:crypto', new Set(['createHash', 'hash', 'timingSafeEqual'])],
  ['node:buffer', new Set(['isUtf8', 'isAscii'])],
]);
const impureNames =
  /\b(?:Date|Math\.random|process|performance|console|fetch|setTimeout|setInterval|setImmediate|queueMicrotask)\b/g;

/** PostgreSQL's own word for what reads and writes a kind of WAL record. */
const allowedWords = /resource-?managers?/gi;
const bannedWords = /^(?:utils?|helpers?|common|managers?|services?|misc|snapshots?|stanzas?|instances?)$/;

export function checkArchitecture(files: readonly SourceFile[]): readonly Violation[] {
  return [
    ...files.flatMap((file) => rules.flatMap(({ name, check }) => violations(name, file, check))),
    ...cycles(files),
  ];
}

type Check = (file: SourceFile) => Iterable<string>;

const rules: readonly { readonly name: string; readonly check: Check }[] = [
  { name: 'ranks', check: rankViolations },
  { name: 'purity', check: impurities },
  { name: 'length', check: excessLength },
  { name: 'names', check: bannedNames },
  { name: 'barrels', check: barrels },
  { name: 'default exports', check: defaultExports },
];

function violations(rule: string, file: SourceFile, check: Check): Violation[] {
  return [...check(file)].map((found) => ({ rule, path: file.path, found }));
}

function* rankViolations(file: SourceFile): Generator<string> {
  const from = folderOf(file.path);
  if (from === undefined || isTest(file.path)) return;
  if (from !== '' && ranks[from] === undefined) yield `the folder ${from} has no rank`;
  for (const path of importedPaths(file)) {
    const to = folderOf(path);
    if (to === undefined) yield `imports ${path}, which is no source of the program`;
    else if (!mayImport(from, to, path)) yield `${from === '' ? file.path : from} imports ${path}`;
  }
}

function mayImport(from: string, to: string, path: string): boolean {
  if (to === '') return foundations.has(posix.basename(path));
  if (from === '') return !foundations.has(posix.basename(path));
  const edge = `${from} -> ${to}`;
  if (forbidden.has(edge)) return false;
  return from === to || neighbours.has(edge) || (ranks[to] ?? Infinity) < (ranks[from] ?? -Infinity);
}

function* impurities(file: SourceFile): Generator<string> {
  const isPlan = file.path.startsWith('src/') && file.path.endsWith('-plan.ts');
  if (isTest(file.path) || !(isPlan || pureFolders.has(folderOf(file.path) ?? ''))) return;
  for (const { specifier, names } of importsOf(file.text)) {
    if (specifier.startsWith('.')) continue;
    const allowed = pureModules.get(specifier);
    if (!allowed) yield `imports ${specifier}`;
    else if (names.length === 0) yield `imports all of ${specifier}`;
    for (const name of names) if (allowed && !allowed.has(name)) yield `imports ${name} of ${specifier}`;
  }
  for (const [name] of codeOnly(file.text).matchAll(impureNames)) yield `uses ${name}`;
}

function* excessLength({ path, text }: SourceFile): Generator<string> {
  const lines = text.split('\n').length - 1;
  if (!path.endsWith('.wasm.ts') && lines > mostLines) yield `${lines} lines, of ${mostLines} at most`;
}

function* bannedNames({ path, text }: SourceFile): Generator<string> {
  for (const part of path
    .replace(/(?:\.d|\.test|\.wasm)?\.ts$/, '')
    .replaceAll(allowedWords, 'x')
    .split('/')) {
    if (!/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(part)) yield `"${part}" is not in kebab-case`;
    for (const word of part.split('-')) if (bannedWords.test(word)) yield `"${word}" in its name`;
  }
  const exported =
    /\bexport\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:class|function\*?|const|interface|type)\s+(\w+)/g;
  for (const [, name = ''] of codeOnly(text).matchAll(exported)) {
    for (const [word] of name.replaceAll(allowedWords, 'x').matchAll(/[A-Z]?[a-z]+/g)) {
      if (bannedWords.test(word.toLowerCase())) yield `exports ${name}`;
    }
  }
}

/** A folder's public face is the file named for it; nothing else only passes on what others export. */
function* barrels({ path, text }: SourceFile): Generator<string> {
  const name = posix.basename(path, '.ts');
  if (name === 'index') yield 'is called index.ts';
  if (name === posix.basename(posix.dirname(path))) return;
  if (/\bexport\s*(?:type\s*)?\*/.test(codeOnly(text))) yield 'exports all of another module';
  const statements = codeOnly(text)
    .split(';')
    .filter((statement) => statement.trim() !== '');
  const passesOn = statements.filter((statement) => /^\s*export\s*(?:type\s*)?\{[^}]*\}\s*from\b/.test(statement));
  if (passesOn.length > 0 && passesOn.length === statements.length) yield 'only passes on what others export';
}

function* defaultExports({ text }: SourceFile): Generator<string> {
  if (/\bexport\s+default\b|\bexport\s*\{[^}]*\bas\s+default\b/.test(codeOnly(text))) yield 'has a default export';
}

/** Of what imports what when the program runs; one violation for each module that closes a circle. */
function cycles(files: readonly SourceFile[]): readonly Violation[] {
  const edges = new Map(
    files
      .filter(({ path }) => path.startsWith('src/'))
      .map((file) => [file.path, importedPaths(file, ({ typesOnly }) => !typesOnly)] as const),
  );
  const found: Violation[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const round = [...trail.slice(start), path].map((one) => one.replace(/^src\//, ''));
      found.push({ rule: 'cycles', path, found: round.join(' -> ') });
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return found;
}

function importedPaths(file: SourceFile, counts: (one: Import) => boolean = () => true): readonly string[] {
  return importsOf(file.text)
    .filter((one) => one.specifier.startsWith('.') && counts(one))
    .map(({ specifier }) => posix.join(posix.dirname(file.path), specifier));
}

/** The folder in src/ that a source lies in; empty for src/ itself, `undefined` elsewhere. */
function folderOf(path: string): string | undefined {
  const parts = path.split('/');
  if (parts[0] !== 'src') return undefined;
  return parts.length === 2 ? '' : parts[1];
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts');
}
