import type { BackupRecord } from './backup-record.ts';
import { readClaims, type Claim } from './claim.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import type { ProcessTable } from './lock-holder.ts';
import type { PackId } from './pack-id.ts';
import { repack, type Repacked } from './repack.ts';
import { deleteTombstone, manifestPacks, readTombstones, writeTombstone, type Tombstone } from './tombstone.ts';

/*
 * A sweep deletes packs that no backup refers to. The caller holds the lock `expire`, so that there is one at a time, and
 * nobody changes a record meanwhile.
 *
 * Beside a running backup it looks at the packs that tombstones name, and at no others: those that the backup stores are
 * named by no record yet. Alone, it looks at every pack, and repacks what is mostly dead (repack.ts).
 *
 * The order of reading is what makes it safe. Packs are listed first: who stores one has a claim, or the lock `backup`,
 * before that. That records of tombstones are gone is seen before claims are read: who claims such a backup later is
 * refused. Records are read last: who has given a claim up has written his record before.
 */

export interface SweepOptions {
  /** Whether the caller holds the lock `backup`: no backup is running. */
  readonly alone: boolean;
  readonly processes?: ProcessTable;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface Swept {
  /** Packs that were deleted because no backup refers to them. */
  readonly packs: number;
  readonly bytes: number;
  readonly repacked: Repacked;
  /** What was left to a later sweep, and why. */
  readonly notes: readonly string[];
}

/** Throws what reading records and claims throws: where one cannot be read, nobody knows what is needed. */
export async function sweep(cluster: ClusterRepository, options: SweepOptions): Promise<Swept> {
  const unlisted = options.alone ? await cluster.listPacks() : [];
  const unfinished = options.alone ? await cluster.listUnfinished() : [];
  const { tombstones, damaged: unreadable } = await findTombstones(cluster);
  const claims = await readClaims(cluster, options.processes);
  const isQuiet = options.alone && claims.length === 0;

  const named = new Map<string, ReadonlySet<PackId> | undefined>();
  let records = await cluster.listBackups();
  for (const { id } of records) named.set(id, await manifestPacks(cluster, id));
  if (isQuiet) records = await trimRecords(cluster, records, named);

  const needed = new Set<string>();
  for (const { id, packs } of records) addAll(needed, packs, named.get(id));
  const claimed = new Set(claims.flatMap(({ references }) => references));
  for (const id of claimed) {
    // Of one that is listed it has been read. Of one that was expired, the manifest waits for the claim's end.
    if (!named.has(id)) addAll(needed, await manifestPacks(cluster, id));
  }
  for (const { id, packs } of tombstones) if (claimed.has(id)) addAll(needed, packs);

  if (isQuiet) await tidyUp(cluster, unfinished, unreadable);
  const candidates = new Set([...tombstones.flatMap(({ packs }) => packs), ...(isQuiet ? unlisted : [])]);
  const deleted = await deletePacks(
    cluster,
    [...candidates].filter((pack) => !needed.has(pack)),
    options.signal,
  );
  const due = new DueTombstones(
    cluster,
    tombstones.filter(({ id }) => !claimed.has(id)),
  );
  await due.dropManifests();
  await due.keepOnly(needed);
  const damaged: string[] = [];
  const repacked = isQuiet
    ? await repack(cluster, records, due.packs(), {
        ...options,
        forget: async (packs) => due.forget(packs),
        onDamaged: (pack, error) => damaged.push(`pack ${pack} is damaged, and stays as it is: ${error.message}`),
      })
    : { packs: 0, freedBytes: 0 };
  return { ...deleted, repacked, notes: [...damaged, ...notesOn(options.alone, claims)] };
}

function addAll(into: Set<string>, ...lists: readonly (Iterable<string> | undefined)[]): void {
  for (const list of lists) for (const one of list ?? []) into.add(one);
}

/** Of backups whose record is gone. */
async function findTombstones(cluster: ClusterRepository): ReturnType<typeof readTombstones> {
  const { tombstones, damaged } = await readTombstones(cluster);
  const due: Tombstone[] = [];
  for (const tombstone of tombstones) {
    if (await cluster.hasObject(`backups/${tombstone.id}/record.json`)) await deleteTombstone(cluster, tombstone.id);
    else due.push(tombstone);
  }
  return { tombstones: due, damaged };
}

/** What dead backups left, and tombstones that cannot be read: where every pack is looked at, nobody needs them. */
async function tidyUp(
  cluster: ClusterRepository,
  unfinished: readonly string[],
  unreadable: readonly string[],
): Promise<void> {
  for (const id of unfinished) await cluster.deleteObject(`backups/${id}/manifest`);
  for (const id of unreadable) {
    if (!(await cluster.hasObject(`backups/${id}/record.json`))) await cluster.deleteObject(`backups/${id}/manifest`);
    await deleteTombstone(cluster, id);
  }
}

/** A record that names more than its manifest is left by a repacking that died, or by a backup that stored too much. */
async function trimRecords(
  cluster: ClusterRepository,
  records: readonly BackupRecord[],
  named: ReadonlyMap<string, ReadonlySet<PackId> | undefined>,
): Promise<BackupRecord[]> {
  const trimmed: BackupRecord[] = [];
  for (const record of records) {
    const packs = named.get(record.id);
    const isRight = packs?.size === record.packs.length && record.packs.every((pack) => packs.has(pack as PackId));
    const right = packs === undefined || isRight ? record : { ...record, packs: [...packs] };
    if (right !== record) await cluster.writeRecord(record.id, right, { replace: true });
    trimmed.push(right);
  }
  return trimmed;
}

async function deletePacks(
  cluster: ClusterRepository,
  packs: readonly PackId[],
  signal: AbortSignal,
): Promise<{ readonly packs: number; readonly bytes: number }> {
  let [count, bytes] = [0, 0];
  for (const pack of packs) {
    signal.throwIfAborted();
    const size = await cluster.packBytes(pack);
    if (size === undefined) continue;
    await cluster.deletePack(pack);
    count += 1;
    bytes += size;
  }
  return { packs: count, bytes };
}

/** The tombstones that nobody claims, with what is left to do for each. */
class DueTombstones {
  readonly #cluster: ClusterRepository;
  readonly #tombstones: Map<string, Tombstone>;

  constructor(cluster: ClusterRepository, tombstones: readonly Tombstone[]) {
    this.#cluster = cluster;
    this.#tombstones = new Map(tombstones.map((tombstone) => [tombstone.id, tombstone]));
  }

  packs(): PackId[] {
    return [...new Set([...this.#tombstones.values()].flatMap(({ packs }) => packs))];
  }

  async keepOnly(packs: ReadonlySet<string>): Promise<void> {
    await this.#change((pack) => packs.has(pack));
  }

  async forget(packs: ReadonlySet<PackId>): Promise<void> {
    await this.#change((pack) => !packs.has(pack));
  }

  /** Who might have read them would have claimed their backups. */
  async dropManifests(): Promise<void> {
    for (const id of this.#tombstones.keys()) await this.#cluster.deleteObject(`backups/${id}/manifest`);
  }

  /** Without packs a tombstone goes. */
  async #change(stays: (pack: PackId) => boolean): Promise<void> {
    for (const [id, tombstone] of this.#tombstones) {
      const packs = tombstone.packs.filter(stays);
      if (packs.length > 0 && packs.length === tombstone.packs.length) continue;
      if (packs.length === 0) {
        await deleteTombstone(this.#cluster, id);
        this.#tombstones.delete(id);
      } else {
        const left = { ...tombstone, packs };
        await writeTombstone(this.#cluster, left);
        this.#tombstones.set(id, left);
      }
    }
  }
}

function notesOn(alone: boolean, claims: readonly Claim[]): string[] {
  return [
    ...(alone ? [] : ['a backup is running: packs that are mostly dead stay as they are until an expiry finds none']),
    ...claims.map(({ purpose, holder, since, references }) => {
      const what = references.length === 0 ? 'packs' : `what belongs to ${references.join(', ')}`;
      return `${purpose} (process ${holder.pid} on "${holder.host}", since ${since}) holds ${what}`;
    }),
  ];
}
