import { isRelationDirectory } from './data-directory-rules.ts';

/*
 * Names of relation files, after common/relpath.c and storage/reinit.c (parse_filename_for_nontemp_relation):
 * <relfilenode>[_fsm|_vm|_init][.<segment>], without leading zeros.
 */

export type Fork = 'main' | 'fsm' | 'vm' | 'init';

export interface RelationFile {
  /** 0 in base, 1664 in global, otherwise the tablespace's. */
  readonly tablespaceOid: number;
  /** 0 in global. */
  readonly databaseOid: number;
  readonly relfilenode: number;
  readonly fork: Fork;
  /** 0 for the first file, which has no number in its name. */
  readonly segment: number;
}

const namePattern = /^([1-9]\d{0,9})(?:_(fsm|vm|init))?(?:\.([1-9]\d{0,9}))?$/;

/** `base/5/1259_fsm.1`, `global/1260`, `pg_tblspc/16400/PG_15_202209061/5/16401`; `undefined` for anything else. */
export function parseRelationPath(relativePath: string): RelationFile | undefined {
  const parts = relativePath.split('/');
  const directory = parts.slice(0, -1);
  const match = namePattern.exec(parts.at(-1) ?? '');
  if (!match || !isRelationDirectory(directory)) return undefined;
  return {
    tablespaceOid: directory[0] === 'global' ? 1664 : directory[0] === 'base' ? 0 : Number(directory[1]),
    databaseOid: directory[0] === 'global' ? 0 : Number(directory.at(-1)),
    relfilenode: Number(match[1]),
    fork: (match[2] as Fork | undefined) ?? 'main',
    segment: Number(match[3] ?? 0),
  };
}

/** Whether the pages of that file carry checksums where the cluster has them on: all forks of relations do. */
export function isChecksummed(relativePath: string): boolean {
  return parseRelationPath(relativePath) !== undefined;
}

/**
 * Of the names in one directory, those of unlogged relations that a backup leaves out: every fork but _init,
 * from which recovery makes the relation anew, empty.
 */
export function unloggedToLeaveOut(names: Iterable<string>): Set<string> {
  const all = [...names];
  const unlogged = new Set<string>();
  for (const name of all) {
    const match = namePattern.exec(name);
    if (match?.[2] === 'init') unlogged.add(match[1] ?? '');
  }
  const leaveOut = new Set<string>();
  if (unlogged.size === 0) return leaveOut;
  for (const name of all) {
    const match = namePattern.exec(name);
    if (match && match[2] !== 'init' && unlogged.has(match[1] ?? '')) leaveOut.add(name);
  }
  return leaveOut;
}
