import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseRelationPath, unloggedToLeaveOut } from '../../src/postgres/relation-file.ts';
import type { RelationFork } from '../../src/wal/wal-event.ts';

export const pageBytes = 8192;
const relationFileBlocks = 131_072;
const forkNumbers = { main: 0, fsm: 1, vm: 2, init: 3 } as const;

/** A file of a relation as it lies on the disk of a stopped server. */
export interface RelationFileRead {
  readonly relation: RelationFork;
  /** Of the first page in it. */
  readonly firstBlock: number;
  readonly bytes: Buffer;
}

/** Those that a backup has, by their path: no temporary relations, and of unlogged ones what they begin with. */
export function readRelationFiles(dataDirectory: string): Map<string, RelationFileRead> {
  const byDirectory = Map.groupBy(relationPaths(dataDirectory), (path) => dirname(path));
  const files = new Map<string, RelationFileRead>();
  for (const [directory, paths] of byDirectory) {
    const leftOut = unloggedToLeaveOut(paths.map((path) => basename(path)));
    for (const path of paths) {
      const parsed = parseRelationPath(path);
      if (!parsed || leftOut.has(basename(path))) continue;
      const { tablespaceOid: spcOid, databaseOid: dbOid, relfilenode: relNumber, fork, segment } = parsed;
      files.set(path, {
        relation: { spcOid, dbOid, relNumber, fork: forkNumbers[fork] },
        firstBlock: segment * relationFileBlocks,
        bytes: readFileSync(join(dataDirectory, directory, basename(path))),
      });
    }
  }
  return files;
}

function relationPaths(dataDirectory: string): string[] {
  const inDatabases = (base: string): string[] =>
    readdirSync(join(dataDirectory, base)).flatMap((name) => filesIn(dataDirectory, `${base}/${name}`));
  const inTablespaces = readdirSync(join(dataDirectory, 'pg_tblspc')).flatMap((oid) =>
    readdirSync(join(dataDirectory, 'pg_tblspc', oid)).flatMap((version) => inDatabases(`pg_tblspc/${oid}/${version}`)),
  );
  return [...filesIn(dataDirectory, 'global'), ...inDatabases('base'), ...inTablespaces];
}

function filesIn(dataDirectory: string, directory: string): string[] {
  if (!statSync(join(dataDirectory, directory)).isDirectory()) return [];
  return readdirSync(join(dataDirectory, directory))
    .map((name) => `${directory}/${name}`)
    .filter((path) => parseRelationPath(path) !== undefined);
}
