import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { readPageLsn } from '../../src/postgres/page.ts';
import { formatLsn, invalidLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { forkNumbers } from '../../src/wal/wal-event.ts';
import { kindOf, maskPage } from './masked-pages.ts';
import { pageBytes, readRelationFiles } from './relation-pages.ts';

/** Of every page of a relation file what it is without what nobody logs; blocks that were never used count as none at its end. */
export interface PageDigest {
  readonly lsn: Lsn;
  readonly digest: string;
  readonly kind: string;
  /** Of each 256 bytes a CRC, to say where pages differ. */
  readonly parts: Uint32Array;
  /** Of a visibility map. */
  readonly bits?: Buffer;
}

export type ClusterPages = ReadonlyMap<string, readonly PageDigest[]>;

const emptyPage: PageDigest = { lsn: invalidLsn, digest: '', kind: 'empty', parts: new Uint32Array(0) };

/**
 * All pages of permanent relations of a cluster that is stopped cleanly. Free space maps are left out: they are hints. So are files
 * without a page, which may wait to be removed.
 */
export function readClusterPages(dataDirectory: string): ClusterPages {
  const pages = new Map<string, readonly PageDigest[]>();
  for (const [path, { relation, bytes }] of readRelationFiles(dataDirectory)) {
    if (relation.fork === forkNumbers.freeSpaceMap) continue;
    const digests = digestPages(bytes, relation.fork);
    if (digests.length > 0) pages.set(path, digests);
  }
  return pages;
}

function digestPages(bytes: Buffer, fork: number): PageDigest[] {
  const digests: PageDigest[] = [];
  for (let at = 0; at < bytes.length; at += pageBytes) {
    const page: Buffer = bytes.subarray(at, at + pageBytes);
    const lsn = readPageLsn(page);
    const isMap = fork === forkNumbers.visibilityMap;
    const kind = isMap ? 'map' : kindOf(page);
    if (isMap) page.fill(0, 0, headerBytes);
    else maskPage(page, fork === forkNumbers.init);
    if (page.equals(zeros)) digests.push(emptyPage);
    else {
      const digest = hash('sha1', page, 'base64');
      digests.push({ lsn, digest, kind, parts: partsOf(page), ...(isMap && { bits: Buffer.from(page) }) });
    }
  }
  while (digests.at(-1) === emptyPage) digests.pop();
  return digests;
}

const headerBytes = 24;
const zeros = Buffer.alloc(pageBytes);
const partBytes = 256;

function partsOf(page: Buffer): Uint32Array {
  return Uint32Array.from({ length: pageBytes / partBytes }, (_, i) =>
    crc32(page.subarray(i * partBytes, (i + 1) * partBytes)),
  );
}

/**
 * CREATE DATABASE by WAL logs pages of visibility maps as if their bits were free space: the server has some that replay has not.
 * Whether those that are there are true has to be asked otherwise.
 */
function hasBitsOf({ bits }: PageDigest, other: PageDigest): boolean {
  if (!bits || (other !== emptyPage && !other.bits)) return false;
  return other.bits?.every((byte, at) => (byte & ~(bits[at] ?? 0)) === 0) ?? true;
}

const differencesShown = 20;

/** Throws with the first pages that differ. */
export function samePages(found: ClusterPages, expected: ClusterPages, what: string): void {
  const differences: string[] = [];
  let compared = 0;
  for (const path of new Set([...expected.keys(), ...found.keys()])) {
    const [ours, theirs] = [found.get(path) ?? [], expected.get(path) ?? []];
    for (let block = 0; block < Math.max(ours.length, theirs.length); block += 1) {
      const [one, other] = [ours[block] ?? emptyPage, theirs[block] ?? emptyPage];
      compared += 1;
      if (one.digest === other.digest || hasBitsOf(one, other)) continue;
      const lsns = `LSN ${formatLsn(one.lsn)} instead of ${formatLsn(other.lsn)}`;
      const where = [...other.parts.keys()].filter((i) => one.parts[i] !== other.parts[i]).map((i) => i * partBytes);
      differences.push(
        `block ${block} of ${path} (${ours.length} instead of ${theirs.length} pages): ${one.kind} instead of ${other.kind}, ${lsns}, at bytes ${where.join(' ')}`,
      );
    }
  }
  const shown = differences.slice(0, differencesShown).join('\n');
  assert.equal(differences.length, 0, `${what}: ${differences.length} of ${compared} pages differ:\n${shown}`);
  assert.ok(compared > 500, `${what}: only ${compared} pages`);
}
