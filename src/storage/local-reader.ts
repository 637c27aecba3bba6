import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { LocalFileSystem } from './local-file-system.ts';
import { fromErrno, objectTooShort } from './storage-errors.ts';
import type { ObjectReader } from './storage.ts';

/** Reads a file that is open. */
export class LocalReader implements ObjectReader {
  readonly sizeBytes: number;
  readonly #fs: LocalFileSystem;
  readonly #key: string;
  readonly #path: string;
  readonly #owned: boolean;
  #descriptor: number | undefined;

  /** `owned`: whether to close the descriptor in the end. */
  constructor(fs: LocalFileSystem, key: string, path: string, descriptor: number, sizeBytes: number, owned = true) {
    this.#owned = owned;
    this.#fs = fs;
    this.#key = key;
    this.#path = path;
    this.#descriptor = descriptor;
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, lengthBytes: number): Uint8Array {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new PgrecallError('bug', `"${this.#key}" was read after it was closed`);
    if (offset + lengthBytes > this.sizeBytes) throw objectTooShort(this.#key, this.sizeBytes, offset + lengthBytes);
    const bytes = Buffer.allocUnsafe(lengthBytes);
    try {
      for (let done = 0; done < lengthBytes;) {
        const length = this.#fs.readSync(descriptor, bytes, done, lengthBytes - done, offset + done);
        if (length === 0) throw objectTooShort(this.#key, offset + done, offset + lengthBytes);
        done += length;
      }
    } catch (error) {
      throw fromErrno(error, 'read', this.#path);
    }
    return bytes;
  }

  async close(): Promise<void> {
    this.closeNow();
  }

  closeNow(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined && this.#owned) this.#fs.closeSync(descriptor);
  }
}
