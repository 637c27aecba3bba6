import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';

/* The second reader's sealed objects: docs/repository-format.md, "Sealed objects". */

export interface Blob {
  readonly offset: number;
  readonly stored: number;
  readonly plain: number;
}

export const kinds = { pack: 1, manifest: 2, object: 3, document: 4 };
export const roles = { content: 1, index: 2, footer: 3 };

export const sha256 = (...parts: readonly (Uint8Array | string)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export function check(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new Error(`second reader: ${problem}`);
}

export class Bytes {
  readonly all: Buffer;
  at = 0;

  constructor(all: Buffer) {
    this.all = all;
  }

  get left(): number {
    return this.all.length - this.at;
  }

  take(length: number): Buffer {
    check(length >= 0 && length <= this.left, 'an object ends too early');
    this.at += length;
    return this.all.subarray(this.at - length, this.at);
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  varint(): number {
    const value = this.bigVarint();
    check(value < 2n ** 53n, 'a varint is too large');
    return Number(value);
  }

  bigVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      check(value < 2n ** 64n, 'a varint is too large');
      if (byte < 0x80) return value;
    }
  }

  count(): number {
    const count = this.varint();
    check(count <= this.left, 'a count exceeds the bytes that are left');
    return count;
  }

  text(): string {
    return this.take(this.varint()).toString('utf8');
  }

  blob(): Blob {
    return { offset: this.varint(), stored: this.varint(), plain: this.varint() };
  }
}

/** One sealed object, opened. */
export class Sealed {
  readonly #bytes: Buffer;
  readonly #key: Buffer | undefined;

  constructor(bytes: Uint8Array, identity: string, kind: number, repositoryKey: Uint8Array | undefined) {
    const all = Buffer.from(bytes);
    this.#bytes = all;
    check(all.length >= 80 + 32 && all.toString('latin1', 0, 8) === 'pgrecall', `"${identity}" is no sealed object`);
    check(sha256(all.subarray(0, 64)).subarray(0, 16).equals(all.subarray(64, 80)), `"${identity}": header`);
    check(all.readUInt16LE(8) === 1, `"${identity}": version`);
    check(all[10] === kind, `"${identity}": kind`);
    check(all[11] === (repositoryKey ? 1 : 0), `"${identity}": encryption`);
    check(sha256(identity).equals(all.subarray(32, 64)), `"${identity}" holds another object`);
    if (repositoryKey) {
      this.#key = Buffer.from(hkdfSync('sha256', repositoryKey, all.subarray(16, 32), 'pgrecall object', 32));
    }
  }

  open(blob: Blob, role: number): Buffer {
    const opened = this.#payload(blob, role);
    if (opened.length === blob.plain) return opened;
    const chunk = zstdDecompressSync(opened, { maxOutputLength: blob.plain + 1 });
    check(chunk.length === blob.plain, 'a frame of another length');
    return chunk;
  }

  /** What names the content: SHA-256 over each chunk's length and the SHA-256 of its payload. */
  digest(): string {
    const parts = this.contents().blobs.flatMap((blob) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(blob.plain);
      return [length, sha256(this.#payload(blob, roles.content))];
    });
    return sha256(...parts).toString('hex');
  }

  #payload({ offset, stored, plain }: Blob, role: number): Buffer {
    const bytes = this.#bytes;
    check(offset >= 80 && stored >= 16 && offset + stored <= bytes.length - 32, `a blob outside of its object`);
    check(plain <= 64 * 1024 * 1024 && stored <= plain + 16, 'a blob of impossible lengths');
    const payload = bytes.subarray(offset, offset + stored - 16);
    const tag = bytes.subarray(offset + stored - 16, offset + stored);
    const associated = Buffer.alloc(93);
    bytes.copy(associated, 0, 0, 80);
    associated.writeUInt8(role, 80);
    associated.writeBigUInt64LE(BigInt(offset), 81);
    associated.writeUInt32LE(plain, 89);
    let opened = payload;
    if (this.#key) {
      const nonce = Buffer.alloc(12);
      nonce.writeBigUInt64LE(BigInt(offset), 0);
      const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce);
      decipher.setAAD(associated);
      decipher.setAuthTag(tag);
      opened = Buffer.concat([decipher.update(payload), decipher.final()]);
    } else {
      check(sha256(associated, sha256(payload)).subarray(0, 16).equals(tag), 'a blob does not match its tag');
    }
    return opened;
  }

  /** Every content blob in order, and the body of the footer. */
  contents(): { blobs: Blob[]; body: Bytes } {
    const end = this.#bytes.length - 32;
    const trailer = this.#bytes.subarray(end);
    check(trailer.toString('latin1', 24) === 'llacergp', 'no trailer');
    const footer = {
      offset: Number(trailer.readBigUInt64LE(0)),
      stored: trailer.readUInt32LE(8),
      plain: trailer.readUInt32LE(12),
    };
    check(trailer.readBigUInt64LE(16) === 0n && footer.offset + footer.stored === end, 'a trailer that does not fit');
    const reader = new Bytes(this.open(footer, roles.footer));
    const blobs: Blob[] = [];
    let next = 80;
    for (let indexes = reader.count(); indexes > 0; indexes -= 1) {
      const place = reader.blob();
      const [first, count] = [reader.varint(), reader.varint()];
      check(first === next, 'a gap before the blobs of an index');
      const index = new Bytes(this.open(place, roles.index));
      let offset = first;
      for (let left = count; left > 0; left -= 1) {
        const blob = { offset, stored: index.varint(), plain: index.varint() };
        blobs.push(blob);
        offset += blob.stored;
      }
      check(offset === place.offset && index.left === 0, 'an index that does not fit its blobs');
      next = place.offset + place.stored;
    }
    check(next === footer.offset, 'a gap before the footer');
    return { blobs, body: reader };
  }

  parts(): Buffer[] {
    return this.contents().blobs.map((blob) => this.open(blob, roles.content));
  }

  whole(): Buffer {
    return Buffer.concat(this.parts());
  }
}
