import { createCipheriv, createDecipheriv, hkdfSync, scrypt } from 'node:crypto';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isGeneratedSecret } from './generated-secret.ts';
import { fields, integer, listOf, matching, oneOf, text, type Check } from './json-shape.ts';

/*
 * A key slot holds the repository's key (32 random bytes) wrapped by a secret: a passphrase, or the
 * content of a key file. The secret goes through scrypt (one that pgrecall made through HKDF, see
 * generated-secret.ts), the result through AES-256-GCM; the tag of that proves the secret right. Any slot opens
 * the repository, so a secret is changed by adding a slot and removing the old one; the repository's key stays, and
 * nothing is written again.
 */

interface ScryptParameters {
  readonly name: 'scrypt';
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** 32 bytes, hexadecimal. */
  readonly salt: string;
}

interface HkdfParameters {
  readonly name: 'hkdf-sha256';
  /** 32 bytes, hexadecimal. */
  readonly salt: string;
}

export interface KeySlot {
  readonly id: number;
  /** What the administrator calls it. */
  readonly label: string;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly kdf: ScryptParameters | HkdfParameters;
  /** 12 bytes, hexadecimal. */
  readonly nonce: string;
  /** The wrapped key (32 bytes) and the tag (16), hexadecimal. */
  readonly wrapped: string;
}

/** A passphrase as text, or the bytes of a key file. */
export type Secret = string | Uint8Array;

const hex = (bytes: number): RegExp => new RegExp(`^[0-9a-f]{${bytes * 2}}$`);

/** Bounds what a hostile repository can make scrypt cost: 1 GiB. */
const maxCost = 1_048_576;

/** scrypt's N. Others than powers of two it refuses, and no secret would be right. */
const checkCost: Check = (value, place) => {
  const isPower = Number.isSafeInteger(value) && Number.isInteger(Math.log2(Number(value)));
  return isPower && Number(value) >= 2 && Number(value) <= maxCost
    ? undefined
    : `${place}: expected a power of two from 2 to ${maxCost}`;
};

const salt = matching(hex(32));
const checkScrypt = fields({ name: oneOf('scrypt'), N: checkCost, r: oneOf(8), p: oneOf(1), salt });
const checkHkdf = fields({ name: oneOf('hkdf-sha256'), salt });

const checkKdf: Check = (value, place) => {
  const isHkdf = (value as Partial<HkdfParameters> | null | undefined)?.name === 'hkdf-sha256';
  return (isHkdf ? checkHkdf : checkScrypt)(value, place);
};

export const checkKeySlots = listOf(
  fields({
    id: integer(1, 1_000_000),
    label: text(256),
    created: text(64),
    kdf: checkKdf,
    nonce: matching(hex(12)),
    wrapped: matching(hex(48)),
  }),
  32,
);

/** 128 MiB and a few tenths of a second. */
export const defaultCost = 131_072;

export interface SlotOptions {
  readonly id: number;
  readonly label: string;
  readonly secret: Secret;
  readonly created: Date;
  /** scrypt's N, where the secret goes through scrypt. */
  readonly cost: number;
  readonly randomBytes: (length: number) => Uint8Array;
}

export async function wrapKey(repositoryId: string, key: Uint8Array, options: SlotOptions): Promise<KeySlot> {
  const kdf = chooseKdf(options);
  const nonce = options.randomBytes(12);
  const wrapping = await deriveKey(options.secret, kdf);
  const cipher = createCipheriv('aes-256-gcm', wrapping, nonce);
  cipher.setAAD(associatedData(repositoryId, options.id));
  const wrapped = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()]);
  return {
    id: options.id,
    label: options.label,
    created: options.created.toISOString(),
    kdf,
    nonce: Buffer.from(nonce).toString('hex'),
    wrapped: wrapped.toString('hex'),
  };
}

function chooseKdf({ secret, cost, randomBytes }: SlotOptions): KeySlot['kdf'] {
  const random = Buffer.from(randomBytes(32)).toString('hex');
  if (isGeneratedSecret(secret)) return { name: 'hkdf-sha256', salt: random };
  return { name: 'scrypt', N: cost, r: 8, p: 1, salt: random };
}

/** The repository's key; throws `passphrase-wrong` where no slot opens with this secret. */
export async function unwrapKey(repositoryId: string, slots: readonly KeySlot[], secret: Secret): Promise<Uint8Array> {
  for (const slot of inOrderOfCost(slots, secret)) {
    const wrapping = await deriveKey(secret, slot.kdf);
    const wrapped = Buffer.from(slot.wrapped, 'hex');
    const decipher = createDecipheriv('aes-256-gcm', wrapping, Buffer.from(slot.nonce, 'hex'), { authTagLength: 16 });
    decipher.setAAD(associatedData(repositoryId, slot.id));
    decipher.setAuthTag(wrapped.subarray(32));
    const key = decipher.update(wrapped.subarray(0, 32));
    try {
      decipher.final();
      return key;
    } catch {
      // Not this slot's secret.
    }
  }
  throw new PgrecallError('passphrase-wrong', 'the passphrase does not open the repository', {
    details: { slots: slots.length },
  });
}

/** Those that cost nothing first. A secret that people chose never goes without being stretched, whatever a slot says. */
function inOrderOfCost(slots: readonly KeySlot[], secret: Secret): readonly KeySlot[] {
  const quick = slots.filter(({ kdf }) => kdf.name === 'hkdf-sha256');
  const slow = slots.filter(({ kdf }) => kdf.name === 'scrypt');
  return isGeneratedSecret(secret) ? [...quick, ...slow] : slow;
}

function associatedData(repositoryId: string, slot: number): Buffer {
  return Buffer.from(`pgrecall key slot ${repositoryId} ${slot}`, 'utf8');
}

async function deriveKey(secret: Secret, kdf: KeySlot['kdf']): Promise<Uint8Array> {
  // The same passphrase typed on another system may come in another Unicode form.
  const bytes = typeof secret === 'string' ? Buffer.from(secret.normalize('NFC'), 'utf8') : secret;
  const random = Buffer.from(kdf.salt, 'hex');
  if (kdf.name === 'hkdf-sha256') {
    return new Uint8Array(hkdfSync('sha256', bytes, random, 'pgrecall key slot', 32));
  }
  const cost = kdf.N;
  return new Promise((resolve, reject) => {
    const options = { N: cost, r: 8, p: 1, maxmem: 1024 * cost + 33_554_432 };
    scrypt(bytes, random, 32, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
