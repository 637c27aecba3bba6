import { PgrecallError, assert, hasCode } from '../errors/pgrecall-error.ts';
import { isKeySegment } from '../storage/storage-key.ts';
import type { PutOptions } from '../storage/storage.ts';
import { checkBackupRecord, type BackupRecord } from './backup-record.ts';
import { checkClusterDocument, type ClusterDocument } from './cluster-document.ts';
import type { Compression } from './compression.ts';
import type { PreparedContent } from './content-digest.ts';
import { decodeDocument, encodeDocument, maxDocumentBytes } from './document.ts';
import type { Check } from './json-shape.ts';
import { acquireLock, type LockOptions, type RepositoryLock } from './lock.ts';
import { ManifestReader } from './manifest-reader.ts';
import { ManifestWriter } from './manifest-writer.ts';
import { packIdFromBytes, parsePackId, type PackId } from './pack-id.ts';
import { PackReader } from './pack-reader.ts';
import { PackWriter } from './pack-writer.ts';
import type { Repository } from './repository.ts';
import { maxWholeBytes, openWhole, wholeBound, writeParts, writePrepared, writeWhole } from './sealed-object.ts';
import { SealedReader, type SealContext } from './sealed-reader.ts';
import { SealedWriter } from './sealed-writer.ts';

/** Reads at once where the storage is slow to answer. */
const parallelReads = 64;

/** What a repository holds of one cluster. Keys of its methods are relative to the cluster's folder. */
export class ClusterRepository {
  readonly name: string;
  readonly repository: Repository;
  readonly #context: SealContext;

  constructor(repository: Repository, name: string, context: SealContext) {
    this.repository = repository;
    this.name = name;
    this.#context = context;
  }

  /** The whole key of what has `key` in this cluster's folder, for messages and for the storage's own methods. */
  keyOf(key: string): string {
    return `clusters/${this.name}/${key}`;
  }

  /** `undefined` where the cluster was never registered. */
  async readCluster(): Promise<ClusterDocument | undefined> {
    try {
      return (await this.readDocument('cluster.json', checkClusterDocument)) as ClusterDocument;
    } catch (error) {
      if (hasCode(error, 'object-missing')) return undefined;
      throw error;
    }
  }

  async writeCluster(document: ClusterDocument): Promise<void> {
    await this.writeDocument('cluster.json', document, checkClusterDocument, { replace: true });
  }

  /** A document of the shape that `check` wants. Throws `object-missing`, `object-damaged`, `object-swapped`. */
  async readDocument(key: string, check: Check): Promise<unknown> {
    const whole = this.keyOf(key);
    const bytes = await this.repository.storage.get(whole, maxDocumentBytes);
    return decodeDocument(bytes, whole, this.#context, check);
  }

  /** Throws `object-exists` unless `replace`. Durable on return. */
  async writeDocument(key: string, document: unknown, check: Check, options: PutOptions = {}): Promise<void> {
    const problem = check(document, 'document');
    assert(problem === undefined, `a document that could not be read again: ${problem}`);
    const whole = this.keyOf(key);
    await this.repository.storage.put(whole, await encodeDocument(whole, document, this.#context), options);
  }

  /** Begins a pack under a name of its own. */
  async createPack(options: { readonly compression?: Compression } = {}): Promise<PackWriter> {
    const id = packIdFromBytes(this.#context.randomBytes(16));
    const { storage } = this.repository;
    return new PackWriter(id, await SealedWriter.create(storage, this.#packKey(id), 'pack', this.#context, options));
  }

  /** Throws `object-missing`, `object-damaged`, `object-swapped`. */
  async openPack(id: PackId): Promise<PackReader> {
    const { storage } = this.repository;
    return new PackReader(id, await SealedReader.open(storage, this.#packKey(id), 'pack', this.#context));
  }

  async deletePack(id: PackId): Promise<void> {
    await this.repository.storage.delete(this.#packKey(id));
  }

  /** As it is stored; `undefined` where there is none. */
  async packBytes(id: PackId): Promise<number | undefined> {
    return (await this.repository.storage.stat(this.#packKey(id)))?.sizeBytes;
  }

  /** Every pack that is whole, whether a backup refers to it or not. */
  async listPacks(): Promise<PackId[]> {
    const packs: PackId[] = [];
    for await (const { name } of this.repository.storage.list(this.keyOf('packs'))) {
      if (/^[0-9a-f]{32}$/.test(name)) packs.push(parsePackId(name));
    }
    return packs;
  }

  #packKey(id: PackId): string {
    return this.keyOf(`packs/${id}`);
  }

  /** Stores bytes as one sealed object of up to 1 GiB. Throws `object-exists` unless `replace`. */
  async putSealed(
    key: string,
    bytes: Uint8Array,
    options: { readonly replace?: boolean; readonly compression?: Compression } = {},
  ): Promise<void> {
    assert(bytes.length <= maxWholeBytes, `an object of ${bytes.length} bytes`);
    const { storage } = this.repository;
    await writeWhole(await SealedWriter.create(storage, this.keyOf(key), 'object', this.#context, options), bytes);
  }

  /**
   * Stores several byte runs as one sealed object, each a blob of its own (at most 64 MiB), so that one can be
   * read without the others. Throws `object-exists` unless `replace`.
   */
  async putSealedParts(
    key: string,
    parts: readonly Uint8Array[],
    options: PutOptions & { readonly compression?: Compression } = {},
  ): Promise<void> {
    const { storage } = this.repository;
    const writer = await SealedWriter.create(storage, this.keyOf(key), 'object', this.#context, options);
    await writeParts(writer, parts);
  }

  /** Stores what `prepareContent` made as one sealed object. Throws `object-exists`. */
  async putPrepared(key: string, content: PreparedContent): Promise<void> {
    const { storage } = this.repository;
    await writePrepared(await SealedWriter.create(storage, this.keyOf(key), 'object', this.#context), content);
  }

  /** Opens what `putSealed` or `putSealedParts` stored. Throws `object-missing`, `object-damaged`, `object-swapped`. */
  async openSealed(key: string): Promise<SealedReader> {
    return SealedReader.open(this.repository.storage, this.keyOf(key), 'object', this.#context);
  }

  /** Names directly below a folder of this cluster, in byte order; none where it is absent. */
  async listNames(folder: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.repository.storage.list(this.keyOf(folder))) names.push(name);
    return names;
  }

  /** Whether there is such an object. */
  async hasObject(key: string): Promise<boolean> {
    return (await this.objectBytes(key)) !== undefined;
  }

  /** As it is stored; `undefined` where there is none. */
  async objectBytes(key: string): Promise<number | undefined> {
    return (await this.repository.storage.stat(this.keyOf(key)))?.sizeBytes;
  }

  /** Makes an object durable that is there, whoever stored it. */
  async settle(key: string): Promise<void> {
    await this.repository.storage.settle(this.keyOf(key));
  }

  /** Removes an object; one that is not there is no error. Durable on return. */
  async deleteObject(key: string): Promise<void> {
    await this.repository.storage.delete(this.keyOf(key));
  }

  /** What `putSealed` stored. Throws `object-missing`, `object-damaged`, `object-swapped`, `blob-damaged`. */
  async getSealed(key: string, limitBytes: number = maxWholeBytes): Promise<Uint8Array> {
    const whole = this.keyOf(key);
    const stored = await this.repository.storage.get(whole, wholeBound(limitBytes));
    return openWhole(stored, whole, 'object', this.#context, limitBytes);
  }

  /** `replace`: takes the place of the one that is there, when it is finished. */
  async createManifest(backupId: string, options: { readonly replace?: boolean } = {}): Promise<ManifestWriter> {
    const key = this.#backupKey(backupId, 'manifest');
    const { storage } = this.repository;
    return new ManifestWriter(await SealedWriter.create(storage, key, 'manifest', this.#context, options));
  }

  /** Throws `object-missing`, `object-damaged`, `object-swapped`, `manifest-hostile`. */
  async openManifest(backupId: string): Promise<ManifestReader> {
    const key = this.#backupKey(backupId, 'manifest');
    return ManifestReader.open(await SealedReader.open(this.repository.storage, key, 'manifest', this.#context));
  }

  /**
   * Stores the record, which is what makes a backup one. `replace` is for changing the note or the keeping
   * of a backup that is there; else throws `object-exists`.
   */
  async writeRecord(
    backupId: string,
    record: BackupRecord,
    options: { readonly replace?: boolean } = {},
  ): Promise<void> {
    assert(record.id === backupId, `the record of ${record.id} as that of ${backupId}`);
    this.#backupKey(backupId, 'record.json');
    await this.writeDocument(`backups/${backupId}/record.json`, record, checkBackupRecord, options);
  }

  /** Throws `backup-unknown`, `object-damaged`, `object-swapped`. */
  async readRecord(backupId: string): Promise<BackupRecord> {
    const record = isKeySegment(backupId) ? await this.#findRecord(backupId) : undefined;
    if (!record) throw new PgrecallError('backup-unknown', `cluster "${this.name}" has no backup "${backupId}"`);
    return record;
  }

  async #findRecord(backupId: string): Promise<BackupRecord | undefined> {
    try {
      return (await this.readDocument(`backups/${backupId}/record.json`, checkBackupRecord)) as BackupRecord;
    } catch (error) {
      if (hasCode(error, 'object-missing')) return undefined;
      throw error;
    }
  }

  /**
   * Every complete backup, oldest first. A damaged record throws, or goes to `onDamaged` where that is
   * given: the others are then listed without it.
   */
  async listBackups(
    options: { readonly onDamaged?: (backupId: string, error: unknown) => void } = {},
  ): Promise<BackupRecord[]> {
    const ids = await this.listBackupFolders();
    const backups: BackupRecord[] = [];
    for (let at = 0; at < ids.length; at += parallelReads) {
      const some = ids.slice(at, at + parallelReads);
      const records = await Promise.all(
        some.map(async (id) => {
          try {
            return await this.#findRecord(id);
          } catch (error) {
            if (!options.onDamaged) throw error;
            options.onDamaged(id, error);
            return undefined;
          }
        }),
      );
      for (const record of records) if (record) backups.push(record);
    }
    return backups;
  }

  /** Backups without a record that left something behind: they go on, or they died. Expired ones are neither. */
  async listUnfinished(): Promise<string[]> {
    const { storage } = this.repository;
    const unfinished: string[] = [];
    for (const id of await this.listBackupFolders()) {
      if (await storage.stat(this.#backupKey(id, 'record.json'))) continue;
      if (await storage.stat(this.#backupKey(id, 'expired'))) continue;
      if (await storage.stat(this.#backupKey(id, 'manifest'))) unfinished.push(id);
    }
    return unfinished;
  }

  /** Removes a backup, its record first: whatever happens then, it is not half there. Packs stay for the sweep. */
  async deleteBackup(backupId: string): Promise<void> {
    const { storage } = this.repository;
    await storage.delete(this.#backupKey(backupId, 'record.json'));
    await storage.delete(this.#backupKey(backupId, 'manifest'));
  }

  /** Identifiers of everything that lies below `backups/`: complete, unfinished and expired. */
  async listBackupFolders(): Promise<string[]> {
    const ids: string[] = [];
    for await (const { name, kind } of this.repository.storage.list(this.keyOf('backups'))) {
      if (kind === 'folder') ids.push(name);
    }
    return ids;
  }

  #backupKey(backupId: string, name: string): string {
    assert(isKeySegment(backupId), `"${backupId}" as the name of a backup`);
    return this.keyOf(`backups/${backupId}/${name}`);
  }

  /** Takes a lock of this cluster. Throws `locked` with who holds it; one whose holder died on this host is taken over. */
  async lock(name: string, options: LockOptions): Promise<RepositoryLock> {
    return acquireLock(this.repository.storage, this.keyOf('locks'), name, options);
  }
}

export type { ClusterDocument, Incarnation } from './cluster-document.ts';
