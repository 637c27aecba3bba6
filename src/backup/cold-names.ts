import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, isErrno } from '../errors/pgrecall-error.ts';
import {
  committedStatus,
  namesInHeap,
  parseRelationMap,
  placeOfStatus,
  sharedCatalogs,
  type NamedObject,
} from '../postgres/shared-catalog.ts';

export interface ClusterNames {
  readonly databases: readonly NamedObject[];
  /** But for pg_default and pg_global. */
  readonly tablespaces: readonly NamedObject[];
}

const builtInTablespaces = new Set([1663, 1664]);

/**
 * What databases and tablespaces are called, read from the files of a cluster at rest; nothing where they do not say.
 * After a crash what WAL has to repeat is not among them.
 */
export function readClusterNames(dataDirectory: string): ClusterNames {
  try {
    const map = parseRelationMap(readFileSync(join(dataDirectory, 'global', 'pg_filenode.map')));
    const isCommitted = statusReader(dataDirectory);
    const names = (catalog: number): NamedObject[] => {
      const file = map.get(catalog);
      return file === undefined
        ? []
        : namesInHeap(readFileSync(join(dataDirectory, 'global', String(file))), isCommitted);
    };
    return {
      databases: names(sharedCatalogs.database),
      tablespaces: names(sharedCatalogs.tablespace).filter(({ oid }) => !builtInTablespaces.has(oid)),
    };
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !hasCode(error, 'decode')) throw error;
    return { databases: [], tablespaces: [] };
  }
}

function statusReader(dataDirectory: string): (xid: number) => boolean {
  const files = new Map<string, Uint8Array>();
  return (xid) => {
    const { file, offset, shift } = placeOfStatus(xid);
    let bytes = files.get(file);
    if (!bytes) {
      bytes = readOrNothing(join(dataDirectory, 'pg_xact', file));
      files.set(file, bytes);
    }
    return (((bytes[offset] ?? 0) >>> shift) & 3) === committedStatus;
  };
}

function readOrNothing(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return new Uint8Array(0);
    throw error;
  }
}
