import { createDecipheriv, createHmac, hkdfSync, scryptSync } from 'node:crypto';
import { list, readBlock, type Entry } from './second-reader-manifest.ts';
import { sumKey, type SumKey } from './second-reader-sums.ts';
import { Sealed, check, kinds, roles, sha256 } from './second-reader-sealed.ts';

/*
 * A second reader of repositories, written from docs/repository-format.md alone: it imports nothing of the
 * program. Where it and the program disagree, one of them or the document is wrong. It prefers being plain to
 * being fast, and checks what the document says that a reader checks.
 */

/** Where the objects are. */
export interface ObjectSource {
  get(key: string): Uint8Array | undefined;
  /** Every key that begins with `prefix`. */
  keys(prefix: string): string[];
}

export interface ExtractedBackup {
  readonly record: Record<string, unknown>;
  readonly entries: readonly Entry[];
  readonly attachments: ReadonlyMap<string, Buffer>;
}

export class SecondReader {
  readonly #source: ObjectSource;
  readonly #key: Buffer | undefined;
  readonly #sumKey: SumKey;

  constructor(source: ObjectSource, passphrase?: string) {
    this.#source = source;
    const document = plainDocument(this.#get('repository.json'), 'repository.json');
    check(document['format'] === 1, 'a newer format');
    const encryption = document['encryption'] as { slots: Slot[]; authentication: string } | null;
    check(
      (encryption !== null) === (passphrase !== undefined),
      'a passphrase where none is needed, or none where one is',
    );
    const repositoryId = String(document['id']);
    if (encryption === null || passphrase === undefined) {
      this.#sumKey = sumKey(Buffer.from(repositoryId, 'hex'));
      return;
    }
    this.#key = repositoryKey(repositoryId, encryption.slots, passphrase);
    this.#sumKey = sumKey(this.#key);
    const authenticated = JSON.stringify([
      document['id'],
      document['format'],
      document['created'],
      encryption.slots.map(({ id, label, created, kdf, nonce, wrapped }) => [
        id,
        label,
        created,
        ...(kdf.name === 'scrypt' ? [kdf.name, kdf.N, kdf.r, kdf.p, kdf.salt] : [kdf.name, kdf.salt]),
        nonce,
        wrapped,
      ]),
    ]);
    const key = Buffer.from(hkdfSync('sha256', this.#key, '', 'pgrecall repository', 32));
    const expected = createHmac('sha256', key).update(authenticated).digest('hex');
    check(encryption.authentication === expected, 'repository.json was changed by someone without the key');
  }

  #get(key: string): Buffer {
    const bytes = this.#source.get(key);
    check(bytes !== undefined, `"${key}" is missing`);
    return Buffer.from(bytes);
  }

  #sealed(key: string, kind: number): Sealed {
    return new Sealed(this.#get(key), key, kind, this.#key);
  }

  /** A document that is sealed where the repository is encrypted. */
  document(key: string): Record<string, unknown> {
    const bytes = this.#get(key);
    if (!this.#key) return plainDocument(bytes, key);
    const envelope = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    check(envelope['key'] === key, `"${key}" holds another document`);
    const sealed = new Sealed(Buffer.from(String(envelope['sealed']), 'base64'), key, kinds.document, this.#key);
    return JSON.parse(sealed.whole().toString('utf8')) as Record<string, unknown>;
  }

  /** The content of an object of kind 3. */
  object(key: string): Buffer {
    return this.#sealed(key, kinds.object).whole();
  }

  /** The blobs of an object of kind 3, each for itself. */
  parts(key: string): Buffer[] {
    return this.#sealed(key, kinds.object).parts();
  }

  /** A WAL segment; where there is only a beginning of it, that. */
  segment(cluster: string, incarnation: number, name: string): { whole: boolean; content: Buffer } {
    const folder = `clusters/${cluster}/wal/${incarnation}/${name.slice(0, 8)}/${name.slice(8, 16)}`;
    const keys = this.#source.keys(`${folder}/${name}`);
    const segments = keys.filter((key) => key.startsWith(`${folder}/${name}-`));
    check(segments.length < 2, `two contents of ${name}`);
    const [key] = segments.length === 1 ? segments : keys.filter((candidate) => candidate.includes('.partial-'));
    check(key !== undefined, `${name} is not archived`);
    const object = this.#sealed(key, kinds.object);
    check(key.endsWith(`-${object.digest()}`), `${name} does not match its digest`);
    return { whole: segments.length === 1, content: object.whole() };
  }

  /** Identifiers of the complete backups, oldest first. */
  backups(cluster: string): string[] {
    const prefix = `clusters/${cluster}/backups/`;
    return this.#source
      .keys(prefix)
      .filter((key) => key.endsWith('/record.json'))
      .map((key) => key.slice(prefix.length, -'/record.json'.length))
      .toSorted();
  }

  /** Reads one backup whole. */
  extract(cluster: string, id: string): ExtractedBackup {
    const folder = `clusters/${cluster}/backups/${id}`;
    const record = this.document(`${folder}/record.json`);
    const manifest = this.#sealed(`${folder}/manifest`, kinds.manifest);
    const { body } = manifest.contents();
    const packs = list(body, () => body.take(16).toString('hex')).map((pack) =>
      this.#sealed(`clusters/${cluster}/packs/${pack}`, kinds.pack),
    );
    const blocks = list(body, () => ({ entries: body.varint(), blob: body.blob() }));
    const [entryCount, fileCount, fileBytes] = [body.varint(), body.varint(), body.varint()];
    const attachments = new Map<string, Buffer>();
    list(body, () => {
      const name = body.text();
      const size = body.varint();
      const parts = list(body, () => manifest.open(body.blob(), roles.content));
      const whole = Buffer.concat(parts);
      check(whole.length === size, `the attachment ${name}`);
      attachments.set(name, whole);
    });
    check(body.left === 0, 'a body that is too long');

    const entries = blocks.flatMap((block) => readBlock({ manifest, packs, key: this.#sumKey }, block));
    const files = entries.filter((entry) => entry.kind === 'file');
    check(entries.length === entryCount && files.length === fileCount, 'other numbers than announced');
    check(
      files.reduce((sum, file) => sum + (file.content?.length ?? 0), 0) === fileBytes,
      'another size than announced',
    );
    return { record, entries, attachments };
  }
}

interface Slot {
  readonly id: number;
  readonly label: string;
  readonly created: string;
  readonly kdf: {
    readonly name: string;
    readonly N: number;
    readonly r: number;
    readonly p: number;
    readonly salt: string;
  };
  readonly nonce: string;
  readonly wrapped: string;
}

function repositoryKey(repositoryId: string, slots: readonly Slot[], passphrase: string): Buffer {
  check(slots.length <= 32, 'too many key slots');
  for (const { id, kdf, nonce, wrapped } of slots) {
    const wrapping = wrappingKey(kdf, passphrase);
    if (!wrapping) continue;
    const both = Buffer.from(wrapped, 'hex');
    const decipher = createDecipheriv('aes-256-gcm', wrapping, Buffer.from(nonce, 'hex'));
    decipher.setAAD(Buffer.from(`pgrecall key slot ${repositoryId} ${id}`, 'ascii'));
    decipher.setAuthTag(both.subarray(32));
    try {
      return Buffer.concat([decipher.update(both.subarray(0, 32)), decipher.final()]);
    } catch {
      continue;
    }
  }
  throw new Error('second reader: no key slot opens with this passphrase');
}

/** `undefined` where the slot is not for such a secret. */
function wrappingKey(kdf: Slot['kdf'], passphrase: string): Buffer | undefined {
  const secret = Buffer.from(passphrase.normalize('NFC'), 'utf8');
  const salt = Buffer.from(kdf.salt, 'hex');
  if (kdf.name === 'hkdf-sha256') {
    if (!/^pgrecall-key-[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(passphrase)) return undefined;
    return Buffer.from(hkdfSync('sha256', secret, salt, 'pgrecall key slot', 32));
  }
  check(kdf.name === 'scrypt' && kdf.N <= 1_048_576 && kdf.r === 8 && kdf.p === 1, 'an unknown key derivation');
  return scryptSync(secret, salt, 32, { ...kdf, maxmem: 2 ** 31 });
}

function plainDocument(bytes: Buffer, key: string): Record<string, unknown> {
  check(bytes.toString('latin1', 0, 17) === '{\n  "checksum": "', `"${key}" is no document`);
  const checksum = bytes.toString('latin1', 17, 81);
  check(sha256(bytes.subarray(81)).toString('hex') === checksum, `"${key}" does not match its checksum`);
  const envelope = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  check(envelope['key'] === key, `"${key}" holds another document`);
  return envelope['document'] as Record<string, unknown>;
}
