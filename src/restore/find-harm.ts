import { decodeControlFile } from '../postgres/control-file.ts';
import { describeRelation } from '../postgres/relation-names.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { sumBytes, summedBytes } from '../repository/block-sums.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import type { PackId } from '../repository/pack-id.ts';
import { isDamage } from '../repository/tombstone.ts';
import { partsWithin } from './extent-order.ts';
import { FileNames, type NamedFile } from './file-names.ts';
import type { FoundDamage } from './found-damage.ts';
import type { VerifiedFile } from './verify-entry-plan.ts';
import type { Problem } from './verify-items.ts';
import { loadFile } from './verify-walk.ts';

/** Both ends included. */
export type BlockRange = readonly [number, number];

/** Something of a backup that is not as it was written. */
export interface Damage extends Problem {
  /** The file in the cluster, or the part of the backup. */
  readonly path: string;
  /** Of a file: what of it is harmed. Of a relation's file, blocks are counted as PostgreSQL counts those of the relation. */
  readonly blocks?: readonly BlockRange[];
  /** Of a relation's file, where the backup knows it. */
  readonly database?: string;
  readonly relation?: string;
}

export interface Harm {
  readonly damage: readonly Damage[];
  /** How many more there are. */
  readonly more: number;
}

/** So much of one backup is named. */
const mostNamed = 100_000;

/** Of relations whose cluster was built as usual: 1 GiB. */
const usualSegmentBlocks = 131_072;

export interface HarmOptions {
  readonly cluster: ClusterRepository;
  readonly manifest: ManifestReader;
  readonly record: BackupRecord;
  readonly damage: FoundDamage;
}

/** Which files of a backup damage of packs harms. Throws what is wrong with its manifest. */
export async function findHarm({ cluster, manifest, record, damage }: HarmOptions): Promise<Harm> {
  const packs = await manifest.packs();
  const found = new HarmList(await BlockNaming.read(manifest, record));
  for (const pack of packs) {
    const problem = damage.ofPack(pack);
    if (problem) found.add({ path: `packs/${pack}`, ...problem });
  }
  const concerned = new Set(packs.filter((pack) => damage.concernsBlobs(pack)));
  if (concerned.size === 0 && !damage.hasWrongFiles()) return found.harm;
  const reader = new ExtentReader(cluster);
  try {
    for await (const entry of manifest.entries()) {
      if (entry.kind !== 'file' || entry.extentCount === 0) continue;
      const file = await loadFile(entry);
      await noteFile(entry.path, file, { damage, concerned, reader, found });
    }
  } finally {
    await reader.close();
  }
  return found.harm;
}

interface Looking {
  readonly damage: FoundDamage;
  readonly concerned: ReadonlySet<PackId>;
  readonly reader: ExtentReader;
  readonly found: HarmList;
}

async function noteFile(
  path: string,
  file: VerifiedFile,
  { damage, concerned, reader, found }: Looking,
): Promise<void> {
  const problems = new Map<string, Problem & { readonly blocks: number[][] }>();
  for (const extent of file.extents) {
    if (!concerned.has(extent.pack)) continue;
    const problem = damage.ofBlob(extent);
    if (problem) noteBlocks(problems, problem, extent.fileOffset, extent.lengthBytes);
    for (const { blobOffset, sum } of damage.wrongIn(extent)) {
      const at = extent.fileOffset + blobOffset - extent.blobOffset;
      if ((await readSum(reader, file, at)) !== sum) continue;
      noteBlocks(problems, wrongSum, at, Math.min(summedBytes, file.sizeBytes - at));
    }
  }
  for (const { blocks, ...problem } of problems.values()) found.addFile(path, problem, blocks);
  const ofSums = file.sums.find((extent) => concerned.has(extent.pack) && damage.ofBlob(extent));
  const sumsProblem = ofSums && damage.ofBlob(ofSums);
  if (sumsProblem) {
    // Its content restores; but nothing can be compared with it any more.
    found.addFile(path, { code: sumsProblem.code, message: `the sums of its blocks: ${sumsProblem.message}` }, []);
  }
  if (damage.isWrongFile(path, file)) found.addFile(path, wrongCrc, []);
}

const wrongSum: Problem = {
  code: 'object-damaged',
  message: 'its content is not what was read from the cluster (the sum of the block differs)',
};

const wrongCrc: Problem = {
  code: 'object-damaged',
  message: 'its content is not what was read from the cluster (its CRC-32C differs)',
};

function noteBlocks(
  problems: Map<string, Problem & { readonly blocks: number[][] }>,
  { code, message }: Problem,
  fileOffset: number,
  lengthBytes: number,
): void {
  const name = `${code} ${message}`;
  const there = problems.get(name) ?? { code, message, blocks: [] };
  problems.set(name, there);
  const first = Math.floor(fileOffset / summedBytes);
  const last = Math.floor((fileOffset + lengthBytes - 1) / summedBytes);
  const before = there.blocks.at(-1);
  if (before?.[1] !== undefined && before[1] + 1 >= first) before[1] = last;
  else there.blocks.push([first, last]);
}

/** What a backup says of the block at that offset of a file; `undefined` where that cannot be read. */
async function readSum(reader: ExtentReader, file: VerifiedFile, fileOffset: number): Promise<string | undefined> {
  const at = (fileOffset / summedBytes) * sumBytes;
  const parts: readonly Extent[] = partsWithin(file.sums, [{ start: at, end: at + sumBytes }]);
  const sum = Buffer.alloc(sumBytes);
  try {
    await reader.read(parts, (bytes, extent) => sum.set(bytes, extent.fileOffset - at));
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
  return sum.toString('hex');
}

class HarmList {
  readonly #naming: BlockNaming;
  readonly #damage: Damage[] = [];
  #more = 0;

  constructor(naming: BlockNaming) {
    this.#naming = naming;
  }

  get harm(): Harm {
    return { damage: this.#damage, more: this.#more };
  }

  add(damage: Damage): void {
    if (this.#damage.length < mostNamed) this.#damage.push(damage);
    else this.#more += 1;
  }

  addFile(path: string, problem: Problem, blocks: readonly (readonly number[])[]): void {
    this.add({ path, ...problem, ...this.#naming.describe(path, blocks) });
  }
}

/** Turns paths and blocks into what an administrator knows. */
class BlockNaming {
  readonly #names: FileNames;
  readonly #segmentBlocks: number;

  private constructor(names: FileNames, segmentBlocks: number) {
    this.#names = names;
    this.#segmentBlocks = segmentBlocks;
  }

  static async read(manifest: ManifestReader, record: BackupRecord): Promise<BlockNaming> {
    const names = await FileNames.read(manifest, record);
    return new BlockNaming(names, await readSegmentBlocks(manifest));
  }

  describe(path: string, blocks: readonly (readonly number[])[]): Omit<Damage, 'path' | 'code' | 'message'> {
    const named: NamedFile | undefined = this.#names.of(path);
    const before = (named?.file.segment ?? 0) * this.#segmentBlocks;
    const { database, relation } = named ?? {};
    return {
      ...(blocks.length === 0
        ? {}
        : { blocks: blocks.map(([first = 0, last = 0]): BlockRange => [before + first, before + last]) }),
      ...(database === undefined ? {} : { database }),
      ...(relation === undefined ? {} : { relation: describeRelation(relation) }),
    };
  }
}

async function readSegmentBlocks(manifest: ManifestReader): Promise<number> {
  try {
    const bytes = await manifest.attachment('pg_control');
    return bytes ? decodeControlFile(bytes).relationSegmentBlocks : usualSegmentBlocks;
  } catch {
    return usualSegmentBlocks;
  }
}
