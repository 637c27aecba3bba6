import { assert } from '../errors/pgrecall-error.ts';

/*
 * A passphrase that pgrecall makes: `pgrecall-key-` and 256 random bits in base64url. It cannot be guessed, so that it need
 * not be stretched: a key slot takes it through HKDF instead of scrypt, which costs a third of a second and 134 MB at the
 * start of every command. Text of any other form, however long, goes through scrypt.
 */

const prefix = 'pgrecall-key-';
const secretBytes = 32;
const form = /^pgrecall-key-[A-Za-z0-9_-]{43}$/;

export function newSecret(randomBytes: (length: number) => Uint8Array): string {
  const bits = randomBytes(secretBytes);
  assert(bits.length === secretBytes, `${bits.length} random bytes where ${secretBytes} were asked for`);
  return prefix + Buffer.from(bits).toString('base64url');
}

/** Whether it is exactly of the form above; base64url has several spellings of the same bits, one of which counts. */
export function isGeneratedSecret(secret: string | Uint8Array): boolean {
  if (typeof secret !== 'string' || !form.test(secret)) return false;
  const digits = secret.slice(prefix.length);
  return Buffer.from(digits, 'base64url').toString('base64url') === digits;
}
