import type { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import type { PackId } from '../repository/pack-id.ts';
import type { VerifiedNotes } from '../repository/verified-notes.ts';
import { digestOf } from '../repository/verified.ts';
import { asDamage } from './as-damage.ts';
import { findHarm, type Damage, type Harm } from './find-harm.ts';
import { FoundDamage } from './found-damage.ts';
import { PackTable } from './pack-table.ts';
import type { Verifying } from './verify-items.ts';
import { walkBackup } from './verify-walk.ts';

/*
 * Verifies backups that share packs, each pack once:
 *
 *   1. Every manifest that is not known to be good is read whole; every pack is looked at, its lists are read.
 *   2. Backups are walked, the oldest first: what a manifest says of a file is compared with a backup that was walked
 *      before. What lies at the same place in both is not read again (verify-entry-plan.ts). The one that stored a blob
 *      refers to all of it, those that come later to less and less: in this order no blob is read twice. Backups of which
 *      everything is known to be good are not walked, others are compared with them.
 *   3. Where damage was found, every manifest is searched for whom it harms (find-harm.ts).
 */

export interface BackupsOptions {
  readonly cluster: ClusterRepository;
  /** Oldest first. */
  readonly records: readonly BackupRecord[];
  /** Packs that other backups name as well: what is read of them here is not all of them. */
  readonly alsoElsewhere: ReadonlySet<string>;
  readonly notes: VerifiedNotes;
  readonly verifying: Verifying;
  readonly signal: AbortSignal;
  /** Stored bytes that were read. */
  readonly onProgress: (bytes: number) => void;
  /** Stored bytes to read, before they are. */
  readonly onTotal: (bytes: number) => void;
  readonly say: (text: string) => void;
}

export interface BackupVerdict {
  readonly backup: string;
  readonly files: number;
  readonly sizeBytes: number;
  readonly damage: readonly Damage[];
  /** How many more damages there are than are listed. */
  readonly moreDamage: number;
}

/** Packs that were read, and those that were found good not long ago. */
export interface CountedPacks {
  readonly read: number;
  readonly known: number;
}

/** What one pass found. */
export interface FirstLook {
  readonly verdicts: readonly BackupVerdict[];
  readonly packs: CountedPacks;
  /** Of the manifests as they were read. */
  readonly digests: ReadonlyMap<string, string>;
  /** Backups whose manifest was written anew meanwhile: nothing is known of them. */
  readonly changed: ReadonlySet<string>;
}

/** One backup on its way. */
interface Looked {
  readonly record: BackupRecord;
  /** In time, counted from 0. */
  readonly order: number;
  /** Places in the table of packs. */
  readonly packs: Uint32Array;
  readonly digest: string;
  readonly isKnown: boolean;
  readonly files: number;
  readonly sizeBytes: number;
  /** Found before any pack was read. */
  readonly damage: Damage[];
  /** Whether its manifest can be read. */
  readonly isReadable: boolean;
  /** Whether everything that had to be read of it has been. */
  isWalked: boolean;
  /** Whether its manifest is another by now. */
  isChanged: boolean;
}

export class BackupsVerification {
  readonly #options: BackupsOptions;
  readonly #records: readonly BackupRecord[];
  readonly #damage = new FoundDamage();
  readonly #packs = new PackTable();
  readonly #looked = new Map<string, Looked>();

  constructor(options: BackupsOptions, records: readonly BackupRecord[]) {
    this.#options = options;
    this.#records = records;
  }

  async run(): Promise<FirstLook> {
    for (const [order, record] of this.#records.entries()) {
      this.#looked.set(record.id, await this.#look(record, order));
    }
    const packs = await this.#lookAtPacks();
    await this.#walkAll();
    const verdicts: BackupVerdict[] = [];
    for (const looked of this.#looked.values()) verdicts.push(await this.#judge(looked));
    const all = [...this.#looked];
    return {
      verdicts,
      packs,
      digests: new Map(all.map(([id, { digest }]) => [id, digest])),
      changed: new Set(all.filter(([, { isChanged }]) => isChanged).map(([id]) => id)),
    };
  }

  async #look(record: BackupRecord, order: number): Promise<Looked> {
    const { cluster, notes, signal } = this.#options;
    signal.throwIfAborted();
    const damage: Damage[] = [];
    let known: Pick<Looked, 'packs' | 'digest' | 'isKnown' | 'files' | 'sizeBytes'> = {
      packs: new Uint32Array(),
      digest: '',
      isKnown: false,
      files: record.files,
      sizeBytes: record.sizeBytes,
    };
    const problem = await asDamage(async () => {
      await using manifest = await cluster.openManifest(record.id);
      const digest = await digestOfManifest(manifest);
      const isKnown = notes.isGood(thingOf(record.id), digest);
      const packs = this.#packs.placesOf(await manifest.packs());
      known = { packs, digest, isKnown, files: manifest.files, sizeBytes: manifest.sizeBytes };
      if (!isKnown) await manifest.verify();
      for (const name of attachments[record.temperature]) {
        if (manifest.attachmentNames.includes(name)) continue;
        damage.push({ path: name, code: 'object-damaged', message: 'missing from the manifest' });
      }
    });
    if (problem) damage.push({ path: 'manifest', ...problem });
    else if (known.files !== record.files) {
      const message = `has ${known.files} files where the record says ${record.files}`;
      damage.push({ path: 'manifest', code: 'object-damaged', message });
    }
    return { record, order, ...known, damage, isReadable: problem === undefined, isWalked: false, isChanged: false };
  }

  /** Sizes of all; the lists of those that are not known to be good, which no file map leads to. */
  async #lookAtPacks(): Promise<CountedPacks> {
    const { cluster, notes, signal, onTotal } = this.#options;
    const count = { read: 0, known: 0 };
    let total = 0;
    for (let place = 0; place < this.#packs.size; place += 1) {
      signal.throwIfAborted();
      const pack = this.#packs.packAt(place);
      const sizeBytes = await cluster.packBytes(pack);
      const digest = sizeBytes === undefined ? '' : digestOf(sizeBytes);
      if (notes.isGood(thingOfPack(pack), digest)) {
        this.#packs.setKnown(place);
        count.known += 1;
        continue;
      }
      count.read += 1;
      total += sizeBytes ?? 0;
      this.#packs.setDigest(place, digest);
      await this.#readLists(pack);
    }
    onTotal(total);
    return count;
  }

  async #readLists(pack: PackId): Promise<void> {
    const { cluster } = this.#options;
    let opened = false;
    const problem = await asDamage(async () => {
      await using reader = await cluster.openPack(pack);
      opened = true;
      await reader.blobs();
    });
    if (problem && opened) this.#damage.addLists(pack, problem);
    else if (problem) this.#damage.addPack(pack, problem);
  }

  async #walkAll(): Promise<void> {
    const { say, signal } = this.#options;
    const readable = [...this.#looked.values()].filter(({ isReadable }) => isReadable);
    const isGood = (looked: Looked): boolean => looked.isKnown && this.#packs.allKnown(looked.packs);
    const done = readable.filter(isGood);
    const queue = readable.filter((looked) => !isGood(looked));
    for (const looked of this.#looked.values()) {
      // What a manifest that cannot be read refers to nobody knows.
      if (!looked.isReadable) this.#packs.keepOpen(looked.record.packs);
    }
    for (const { packs } of queue) this.#packs.addReaders(packs);
    for (const looked of queue) {
      signal.throwIfAborted();
      say(`reading ${looked.record.id}`);
      await this.#walk(looked, done);
      if (!looked.isWalked) continue;
      done.push(looked);
      await this.#noteWalked(looked);
    }
  }

  async #walk(looked: Looked, done: readonly Looked[]): Promise<void> {
    const { cluster, verifying, signal, onProgress } = this.#options;
    const beside = this.#chooseBeside(looked, done);
    await using stack = new AsyncDisposableStack();
    let other: ManifestReader | undefined;
    const otherProblem = await asDamage(async () => {
      other = beside && stack.use(await cluster.openManifest(beside.record.id));
    });
    let walkedBeside: PgrecallError | undefined;
    const problem = await asDamage(async () => {
      const manifest = stack.use(await cluster.openManifest(looked.record.id));
      looked.isChanged = (await digestOfManifest(manifest)) !== looked.digest;
      if (looked.isChanged) return;
      const walked = await walkBackup({
        manifest,
        manifestIsNew: !looked.isKnown,
        beside: other,
        isToRead: (pack) => this.#packs.isToRead(pack) && !this.#damage.isUnreadable(pack),
        verifying,
        damage: this.#damage,
        signal,
        onProgress,
      });
      walkedBeside = walked.besideProblem;
      looked.isWalked = true;
    });
    if (problem) looked.damage.push({ path: 'manifest', ...problem });
    const besideProblem = otherProblem ?? walkedBeside;
    // It was good a while ago, and is to be looked at again.
    if (beside && besideProblem) {
      const { code, message } = besideProblem;
      beside.damage.push({ path: 'manifest', code, message });
    }
  }

  /** Of those nearest in time the one that has the most packs in common with it. */
  #chooseBeside(looked: Looked, done: readonly Looked[]): Looked | undefined {
    const distance = ({ order }: Looked): number => Math.abs(order - looked.order);
    const near = done.toSorted((a, b) => distance(a) - distance(b)).slice(0, nearby);
    const own = new Set(looked.packs);
    let best: Looked | undefined;
    let most = 0;
    for (const candidate of near) {
      let shared = 0;
      for (const pack of candidate.packs) if (own.has(pack)) shared += 1;
      if (shared > most) [best, most] = [candidate, shared];
    }
    return best;
  }

  /** Notes packs of which everything that anybody refers to has been read. */
  async #noteWalked({ packs }: Looked): Promise<void> {
    const { notes, alsoElsewhere } = this.#options;
    for (const place of this.#packs.removeReader(packs)) {
      const pack = this.#packs.packAt(place);
      if (this.#damage.concerns(pack)) notes.noteBad(thingOfPack(pack));
      else if (!alsoElsewhere.has(pack)) notes.noteGood(thingOfPack(pack), [this.#packs.digestAt(place)]);
    }
    await notes.saveNowAndThen();
  }

  /** Now that all damage is known: whether any of it is this backup's. */
  async #judge(looked: Looked): Promise<BackupVerdict> {
    const { cluster, notes } = this.#options;
    const { record, files, sizeBytes, damage, digest } = looked;
    let harm: Harm = { damage: [], more: 0 };
    if (!this.#damage.isNone && looked.isReadable && !looked.isChanged) {
      const problem = await asDamage(async () => {
        await using manifest = await cluster.openManifest(record.id);
        looked.isChanged = (await digestOfManifest(manifest)) !== digest;
        if (!looked.isChanged) harm = await findHarm({ cluster, manifest, record, damage: this.#damage });
      });
      if (problem) damage.push({ path: 'manifest', ...problem });
    }
    const all = [...damage, ...harm.damage];
    if (all.length > 0) notes.noteBad(thingOf(record.id));
    else if (looked.isWalked && !looked.isChanged) notes.noteGood(thingOf(record.id), [digest]);
    return { backup: record.id, files, sizeBytes, damage: all, moreDamage: harm.more };
  }
}

/** Backups that are looked at for one to compare with. */
const nearby = 16;

/** Without which a backup does not start. */
const attachments = { hot: ['backup_label', 'tablespace_map', 'pg_control'], warm: [], cold: ['pg_control'] } as const;

/** Names a manifest by what it refers to: one that was written anew refers to other packs. */
export async function digestOfManifest(manifest: ManifestReader): Promise<string> {
  return digestOf(manifest.entryCount, manifest.sizeBytes, ...(await manifest.packs()));
}

/** What `VerifiedNotes` calls a backup's manifest. */
function thingOf(backup: string): string {
  return `backups/${backup}`;
}

function thingOfPack(pack: string): string {
  return `packs/${pack}`;
}
