import { isRelationDirectory } from './data-directory-rules.ts';

/*
 * Names of relation files, after common/relpath.c and storage/reinit.c (parse_filename_for_nontemp_relation):
 * <relfilenode>[_fsm|_vm|_init][.<segment>], both numbers from 1 to 2^32 - 1, without leading zeros.
 */

export type Fork = 'main' | 'fsm' | 'vm' | 'init';

export interface RelationFile {
  /** As WAL has it: 1663 (pg_default) in base, 1664 (pg_global) in global, otherwise the tablespace's. */
  readonly tablespaceOid: number;
  /** 0 in global. */
  readonly databaseOid: number;
  readonly relfilenode: number;
  readonly fork: Fork;
  /** 0 for the first file, which has no number in its name. */
  readonly segment: number;
}

const namePattern = /^([1-9]\d{0,9})(?:_(fsm|vm|init))?(?:\.([1-9]\d{0,9}))?$/;

function parseName(name: string): { relfilenode: number; fork: Fork; segment: number } | undefined {
  const match = namePattern.exec(name);
  if (!match) return undefined;
  const relfilenode = Number(match[1]);
  const segment = Number(match[3] ?? 0);
  if (relfilenode > 0xffff_ffff || segment > 0xffff_ffff) return undefined;
  return { relfilenode, fork: (match[2] as Fork | undefined) ?? 'main', segment };
}

/** `base/5/1259_fsm.1`, `global/1260`, `pg_tblspc/16400/PG_15_202209061/5/16401`; `undefined` for anything else. */
export function parseRelationPath(relativePath: string): RelationFile | undefined {
  const parts = relativePath.split('/');
  const directory = parts.slice(0, -1);
  const name = parseName(parts.at(-1) ?? '');
  if (!name || !isRelationDirectory(directory)) return undefined;
  return {
    tablespaceOid: directory[0] === 'global' ? 1664 : directory[0] === 'base' ? 1663 : Number(directory[1]),
    databaseOid: directory[0] === 'global' ? 0 : Number(directory.at(-1)),
    ...name,
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
  const unlogged = new Set<number>();
  for (const name of all) {
    const parsed = parseName(name);
    if (parsed?.fork === 'init') unlogged.add(parsed.relfilenode);
  }
  const leaveOut = new Set<string>();
  if (unlogged.size === 0) return leaveOut;
  for (const name of all) {
    const parsed = parseName(name);
    if (parsed && parsed.fork !== 'init' && unlogged.has(parsed.relfilenode)) leaveOut.add(name);
  }
  return leaveOut;
}
