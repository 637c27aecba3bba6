import { hash } from 'node:crypto';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Check } from './json-shape.ts';
import { damaged } from './sealed-format.ts';
import { openWhole, sealWhole } from './sealed-object.ts';
import type { SealContext } from './sealed-reader.ts';

/*
 * JSON documents. Not encrypted, a document is text that anyone can read:
 *
 *   {
 *     "checksum": "<64 hexadecimal digits>",
 *     "key": "clusters/main/cluster.json",
 *     "document": { … }
 *   }
 *
 * The checksum is SHA-256 of every byte after its own digits. Encrypted, "document" is a sealed object
 * of kind 4 in base64, under "sealed", and there is no checksum. Every byte of either form matters: one
 * that differs from what pgrecall writes is damage.
 */

const opening = '{\n  "checksum": "';
const digits = 64;

/** No document comes near this. */
export const maxDocumentBytes = 67_108_864;

export function encodePlainDocument(key: string, document: unknown): Buffer {
  const body = JSON.stringify(document, undefined, 2).replaceAll('\n', '\n  ');
  const rest = `",\n  "key": ${JSON.stringify(key)},\n  "document": ${body}\n}\n`;
  return Buffer.from(`${opening}${hash('sha256', rest)}${rest}`, 'utf8');
}

/** Throws `object-damaged`, `object-swapped`. */
export function decodePlainDocument(bytes: Uint8Array, key: string, check: Check): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = opening.length + digits;
  const checksum = buffer.toString('latin1', opening.length, at);
  if (buffer.toString('latin1', 0, opening.length) !== opening || hash('sha256', buffer.subarray(at)) !== checksum) {
    throw damaged(key, 'it does not match its checksum', 0);
  }
  const envelope = parseEnvelope(buffer, key);
  return checked(envelope['document'], key, check);
}

export async function encodeDocument(key: string, document: unknown, context: SealContext): Promise<Buffer> {
  if (!context.repositoryKey) return encodePlainDocument(key, document);
  const sealed = await sealWhole(Buffer.from(JSON.stringify(document), 'utf8'), key, 'document', context);
  return envelopeOfSealed(key, sealed);
}

function envelopeOfSealed(key: string, sealed: Uint8Array): Buffer {
  const base64 = Buffer.from(sealed).toString('base64');
  return Buffer.from(`{\n  "key": ${JSON.stringify(key)},\n  "sealed": "${base64}"\n}\n`, 'utf8');
}

/** Throws `object-damaged`, `object-swapped`, `blob-damaged`. */
export async function decodeDocument(
  bytes: Uint8Array,
  key: string,
  context: SealContext,
  check: Check,
): Promise<unknown> {
  if (!context.repositoryKey) return decodePlainDocument(bytes, key, check);
  const envelope = parseEnvelope(bytes, key);
  const sealed = Buffer.from(String(envelope['sealed']), 'base64');
  // Base64 has several spellings of the same bytes; one of them is ours.
  if (!envelopeOfSealed(key, sealed).equals(bytes)) throw damaged(key, 'it is not a sealed document', 0);
  const plain = await openWhole(sealed, key, 'document', context, maxDocumentBytes);
  return checked(parse(plain, key), key, check);
}

function parseEnvelope(bytes: Uint8Array, key: string): Record<string, unknown> {
  const envelope = parse(bytes, key);
  if (typeof envelope !== 'object' || envelope === null) throw damaged(key, 'it is not one of our documents', 0);
  const found = (envelope as Record<string, unknown>)['key'];
  if (found !== key) {
    throw new PgrecallError('object-swapped', `"${key}" holds the document of ${JSON.stringify(found)}`, {
      hint: 'an object was copied or renamed; put the right one back',
      details: { key, found },
    });
  }
  return envelope as Record<string, unknown>;
}

function parse(bytes: Uint8Array, key: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (error) {
    throw damaged(key, 'it is not JSON', 0, error);
  }
}

function checked(document: unknown, key: string, check: Check): unknown {
  const problem = check(document, 'document');
  if (problem !== undefined) throw damaged(key, problem, 0);
  return document;
}
