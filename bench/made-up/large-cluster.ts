import type { WalkedEntry } from '../../src/backup/data-directory-walk.ts';

/** How large a made-up cluster is. */
export interface LargeCluster {
  readonly bytes: number;
  readonly files: number;
  /** One page in so many changes between two backups. */
  readonly pagesForOneChanged: number;
}

export const pageBytes = 8192;
const largeBytes = 1_073_741_824;

/** Of all bytes lie so many in full segments of 1 GiB; the rest is shared out evenly among the other files. */
const largeShare = 0.97;
const filesOfDatabase = 10_000;
const firstDatabase = 16_384;
const firstRelation = 100_000;

/** A file of a made-up cluster: one relation each. */
export interface MadeUpFile {
  readonly number: number;
  readonly path: string;
  readonly database: number;
  readonly relation: number;
  readonly sizeBytes: number;
}

/** In the order of paths. Databases have large and small relations alike. */
export function* filesOf({ bytes, files }: LargeCluster): Generator<MadeUpFile> {
  const large = Math.floor((bytes * largeShare) / largeBytes);
  const smallBytes = Math.max(1, Math.round((bytes - large * largeBytes) / (files - large) / pageBytes)) * pageBytes;
  for (let number = 0; number < files; number += 1) {
    const database = firstDatabase + Math.floor(number / filesOfDatabase);
    const relation = firstRelation + (number % filesOfDatabase);
    const isLarge = Math.floor(((number + 1) * large) / files) > Math.floor((number * large) / files);
    const sizeBytes = isLarge ? largeBytes : smallBytes;
    yield { number, path: `base/${database}/${relation}`, database, relation, sizeBytes };
  }
}

/** The walk of a data directory that is nowhere. From backup to backup every 500th file is gone, another one for each. */
export function* walkOf(cluster: LargeCluster, generation: number): Generator<WalkedEntry> {
  yield directory('');
  yield directory('base');
  let last = 0;
  for (const { number, path, database, sizeBytes } of filesOf(cluster)) {
    if (database !== last) yield directory(`base/${database}`);
    last = database;
    if (generation > 0 && number % 500 < generation) continue;
    const identity = { inode: 1000 + number, bornMicros: 1.7e15 + number, changedMicros: 1.7e15 + number };
    yield { ...attributes, kind: 'file', path, absolutePath: `/nowhere/${path}`, sizeBytes, identity };
  }
}

const attributes = { modifiedMs: 1_700_000_000_000, mode: 0o600, uid: 26, gid: 26 };

function directory(path: string): WalkedEntry {
  return { ...attributes, kind: 'directory', path, absolutePath: `/nowhere/${path}`, sizeBytes: 0, mode: 0o700 };
}

/** Blocks that have changed, scattered: ascending numbers below `count`. */
export function changedOf(cluster: LargeCluster, generation: number, relation: number, count: number): Uint32Array {
  const { pagesForOneChanged: step } = cluster;
  const first = (relation * 2_654_435_761 + generation * 7919) % step;
  const places = Math.max(0, Math.ceil((count - first) / step));
  // Not quite evenly, so that no two maps are alike.
  return Uint32Array.from({ length: places }, (_, i) => Math.min(count - 1, first + i * step + ((i * 31) % step) / 2));
}
