import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { Storage } from '../storage/storage.ts';
import { decodePlainDocument, encodePlainDocument } from './document.ts';
import { fields, matching, nullable, oneOf, text, type Check } from './json-shape.ts';
import { checkKeySlots, type KeySlot } from './key-slots.ts';
import { damaged } from './sealed-format.ts';

/** `repository.json`: what a reader needs before it has the key. Never encrypted. */
export interface RepositoryDocument {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly format: 1;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly encryption: Encryption | null;
}

export interface Encryption {
  readonly cipher: 'aes-256-gcm';
  readonly slots: readonly KeySlot[];
  /** HMAC-SHA-256 of the rest of the document: only who has the key can change the slots unnoticed. */
  readonly authentication: string;
}

export const repositoryKey = 'repository.json';
const supportedFormat = 1;
const maxBytes = 1_048_576;

const check: Check = fields({
  id: matching(/^[0-9a-f]{32}$/),
  format: oneOf(supportedFormat),
  created: text(64),
  encryption: nullable(
    fields({ cipher: oneOf('aes-256-gcm'), slots: checkKeySlots, authentication: matching(/^[0-9a-f]{64}$/) }),
  ),
});

export function encodeRepositoryDocument(document: RepositoryDocument): Buffer {
  return encodePlainDocument(repositoryKey, document);
}

/** Throws `repository-missing`, `repository-newer`, `object-damaged`. */
export async function readRepositoryDocument(storage: Storage): Promise<RepositoryDocument> {
  let bytes: Uint8Array;
  try {
    bytes = await storage.get(repositoryKey, maxBytes);
  } catch (error) {
    if (!hasCode(error, 'object-missing')) throw error;
    throw new PgrecallError('repository-missing', `there is no repository in ${storage.description}`, { cause: error });
  }
  refuseNewer(bytes, storage);
  return decodePlainDocument(bytes, repositoryKey, check) as RepositoryDocument;
}

/** Before anything else is tried: in a newer format even the checksum may be another. */
function refuseNewer(bytes: Uint8Array, storage: Storage): void {
  let parsed: { readonly document?: { readonly format?: unknown } | null } | null;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString('utf8')) as typeof parsed;
  } catch {
    return;
  }
  const format = parsed?.document?.format;
  if (typeof format !== 'number' || format <= supportedFormat) return;
  throw new PgrecallError(
    'repository-newer',
    `the repository in ${storage.description} has format ${format}; this pgrecall reads up to ${supportedFormat}`,
    { details: { format, supportedFormat } },
  );
}

/** The document with its encryption authenticated by the repository's key. */
export function authenticate(
  document: Omit<RepositoryDocument, 'encryption'>,
  slots: readonly KeySlot[],
  key: Uint8Array,
): RepositoryDocument {
  return {
    ...document,
    encryption: { cipher: 'aes-256-gcm', slots, authentication: authentication(document, slots, key) },
  };
}

/** Throws `object-damaged` where the document is not as the holder of the key left it. */
export function checkAuthentication(document: RepositoryDocument, key: Uint8Array): void {
  if (!document.encryption) return;
  const expected = authentication(document, document.encryption.slots, key);
  const found = document.encryption.authentication;
  if (!timingSafeEqual(Buffer.from(found, 'hex'), Buffer.from(expected, 'hex'))) {
    throw damaged(repositoryKey, 'it was changed by someone who does not have the key', 0);
  }
}

function authentication(
  document: Omit<RepositoryDocument, 'encryption'>,
  slots: readonly KeySlot[],
  key: Uint8Array,
): string {
  const { id, format, created } = document;
  const subkey = new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), 'pgrecall repository', 32));
  const canonical = slots.map(({ id: slot, label, created: since, kdf, nonce, wrapped }) => [
    slot,
    label,
    since,
    ...(kdf.name === 'scrypt' ? [kdf.name, kdf.N, kdf.r, kdf.p, kdf.salt] : [kdf.name, kdf.salt]),
    nonce,
    wrapped,
  ]);
  return createHmac('sha256', subkey)
    .update(JSON.stringify([id, format, created, canonical]))
    .digest('hex');
}
