import { randomBytes as systemRandomBytes } from 'node:crypto';
import { PgrecallError, assert, hasCode } from '../errors/pgrecall-error.ts';
import { openStorage } from '../storage/open-storage.ts';
import type { Storage, StorageLocation } from '../storage/storage.ts';
import { expandSumKey } from './block-sums.ts';
import { checkClusterName, isClusterName } from './cluster-name.ts';
import { ClusterRepository } from './cluster-repository.ts';
import { defaultCost, unwrapKey, wrapKey, type KeySlot, type Secret } from './key-slots.ts';
import { acquireLock, type LockOptions } from './lock.ts';
import {
  authenticate,
  checkAuthentication,
  encodeRepositoryDocument,
  readRepositoryDocument,
  repositoryKey,
  type Encryption,
  type RepositoryDocument,
} from './repository-document.ts';

/** What another thread needs to work in the same repository; structured-cloneable. Holds the key: never log it. */
export interface RepositoryAccess {
  readonly storage: StorageLocation;
  readonly repositoryId: string;
  /** 32 bytes; `undefined` where the repository is not encrypted. */
  readonly key: Uint8Array | undefined;
}

export interface CreateOptions {
  /** Encrypts the repository; without it everything in it can be read by who can read the storage. */
  readonly passphrase?: Secret;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly now: () => Date;
  /** scrypt's N of the first key slot; tests take a small one. */
  readonly scryptCost?: number;
}

export interface OpenOptions {
  /** Asked for where the repository is encrypted. */
  readonly passphrase?: Secret | (() => Promise<Secret | undefined>);
}

export interface AddSlotOptions extends LockOptions {
  readonly secret: Secret;
  readonly label: string;
  readonly scryptCost?: number;
}

/** A key slot without what it protects. */
export type KeySlotSummary = Pick<KeySlot, 'id' | 'label' | 'created'>;

/** Makes a repository in an empty storage. Throws `repository-exists`. */
export async function createRepository(storage: Storage, options: CreateOptions): Promise<Repository> {
  const document = {
    id: Buffer.from(options.randomBytes(16)).toString('hex'),
    format: 1,
    created: options.now().toISOString(),
  } as const;
  let key: Uint8Array | undefined;
  let whole: RepositoryDocument = { ...document, encryption: null };
  if (options.passphrase !== undefined) {
    refuseEmpty(options.passphrase);
    key = options.randomBytes(32);
    const slot = await wrapKey(document.id, key, {
      id: 1,
      label: 'first',
      secret: options.passphrase,
      created: options.now(),
      cost: options.scryptCost ?? defaultCost,
      randomBytes: options.randomBytes,
    });
    whole = authenticate(document, [slot], key);
  }
  try {
    await storage.put(repositoryKey, encodeRepositoryDocument(whole));
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
    throw new PgrecallError('repository-exists', `there is a repository in ${storage.description}`, { cause: error });
  }
  return new Repository(storage, document.id, key, options.randomBytes);
}

/**
 * Opens a repository. Throws `repository-missing`, `repository-newer`, `passphrase-missing`,
 * `passphrase-wrong`, `repository-not-encrypted`, `object-damaged`.
 */
export async function openRepository(storage: Storage, options: OpenOptions = {}): Promise<Repository> {
  const document = await readRepositoryDocument(storage);
  const asked = options.passphrase;
  const passphrase = typeof asked === 'function' ? await asked() : asked;
  if (!document.encryption) {
    // Else who can write to the storage could make us write plaintext, by replacing one file.
    if (passphrase !== undefined) {
      throw new PgrecallError(
        'repository-not-encrypted',
        `a passphrase is set, but the repository in ${storage.description} is not encrypted`,
      );
    }
    return new Repository(storage, document.id, undefined, systemRandomBytes);
  }
  if (passphrase === undefined) {
    throw new PgrecallError('passphrase-missing', `the repository in ${storage.description} is encrypted`);
  }
  const key = await unwrapKey(document.id, document.encryption.slots, passphrase);
  checkAuthentication(document, key);
  return new Repository(storage, document.id, key, systemRandomBytes);
}

/** Opens a repository that was opened before; no I/O. */
export function openWithAccess(access: RepositoryAccess, storage: Storage = openStorage(access.storage)): Repository {
  return new Repository(storage, access.repositoryId, access.key, systemRandomBytes);
}

function refuseEmpty(secret: Secret): void {
  if (secret.length === 0) throw new PgrecallError('usage', 'the passphrase is empty');
}

/** An open repository: where it is, and the key to it. */
export class Repository {
  readonly storage: Storage;
  readonly id: string;
  readonly #key: Uint8Array | undefined;
  readonly #randomBytes: (length: number) => Uint8Array;

  constructor(storage: Storage, id: string, key: Uint8Array | undefined, randomBytes: (length: number) => Uint8Array) {
    this.storage = storage;
    this.id = id;
    this.#key = key;
    this.#randomBytes = randomBytes;
  }

  get encrypted(): boolean {
    return this.#key !== undefined;
  }

  /** What block sums are taken with, expanded: holds a secret where the repository is encrypted. */
  sumKey(): Uint8Array {
    return expandSumKey(this.#key, this.id);
  }

  /** `location`: where this repository's storage is, for who opens it anew. */
  access(location: StorageLocation): RepositoryAccess {
    return { storage: location, repositoryId: this.id, key: this.#key };
  }

  /** The part of the repository that belongs to one cluster. Throws `usage` where it cannot be a name. */
  cluster(name: string): ClusterRepository {
    checkClusterName(name);
    return new ClusterRepository(this, name, { repositoryKey: this.#key, randomBytes: this.#randomBytes });
  }

  /** Names, in byte order. */
  async listClusters(): Promise<string[]> {
    const names: string[] = [];
    for await (const { name, kind } of this.storage.list('clusters')) {
      if (kind === 'folder' && isClusterName(name)) names.push(name);
    }
    return names;
  }

  /** None where the repository is not encrypted. */
  async keySlots(): Promise<KeySlotSummary[]> {
    const { encryption } = await readRepositoryDocument(this.storage);
    return (encryption?.slots ?? []).map(({ id, label, created }) => ({ id, label, created }));
  }

  /** One more secret that opens the repository; gives the number of its slot. Throws `locked`, `usage`. */
  async addKeySlot(options: AddSlotOptions): Promise<number> {
    refuseEmpty(options.secret);
    let id = 0;
    await this.#changeSlots(options, async (slots, key) => {
      id = Math.max(0, ...slots.map((slot) => slot.id)) + 1;
      const slot = await wrapKey(this.id, key, {
        id,
        label: options.label,
        secret: options.secret,
        created: options.now(),
        cost: options.scryptCost ?? defaultCost,
        randomBytes: options.randomBytes,
      });
      return [...slots, slot];
    });
    return id;
  }

  /** Throws `usage` where there is no such slot, or no other. */
  async removeKeySlot(id: number, options: LockOptions): Promise<void> {
    await this.#changeSlots(options, async (slots) => {
      const rest = slots.filter((slot) => slot.id !== id);
      if (rest.length === slots.length) throw new PgrecallError('usage', `there is no key slot ${id}`);
      if (rest.length === 0) {
        throw new PgrecallError('usage', `key slot ${id} is the last one; without it nothing opens the repository`, {
          hint: 'add another key slot first',
        });
      }
      return rest;
    });
  }

  async #changeSlots(
    options: LockOptions,
    change: (slots: Encryption['slots'], key: Uint8Array) => Promise<Encryption['slots']>,
  ): Promise<void> {
    const key = this.#key;
    if (!key) throw new PgrecallError('usage', 'the repository is not encrypted: it has no key slots');
    await using _lock = await acquireLock(this.storage, 'locks', 'key-slots', options);
    const document = await readRepositoryDocument(this.storage);
    checkAuthentication(document, key);
    assert(document.encryption, 'an encrypted repository without encryption');
    const slots = await change(document.encryption.slots, key);
    const { encryption: _, ...rest } = document;
    const changed = authenticate(rest, slots, key);
    await this.storage.put(repositoryKey, encodeRepositoryDocument(changed), { replace: true });
  }
}
