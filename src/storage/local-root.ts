import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { LocalFileSystem } from './local-file-system.ts';
import { fromErrno } from './storage-errors.ts';

/**
 * The directory that a local storage lies in, as this process first found it. Where its disk is unmounted meanwhile,
 * the empty directory below would take whatever is written, durably, and be hidden as soon as the disk comes
 * back: WAL that was acknowledged would be missing. So nothing is written into another directory than the first.
 */
export class LocalRoot {
  readonly #directory: string;
  readonly #fs: LocalFileSystem;
  #identity: string | undefined;

  constructor(directory: string, fileSystem: LocalFileSystem) {
    this.#directory = directory;
    this.#fs = fileSystem;
  }

  /** Looks at it, the first time only; it may not be there yet. */
  note(): void {
    this.#identity ??= this.#look();
  }

  /** Throws `storage` where it is not the one that was noted. */
  check(): void {
    const found = this.#look();
    this.#identity ??= found;
    if (this.#identity === found) return;
    throw new PgrecallError('storage', `"${this.#directory}" is no longer the directory that it was`, {
      hint: 'is its disk still mounted? nothing is written until it is back',
      details: { path: this.#directory },
    });
  }

  #look(): string | undefined {
    try {
      const stat = this.#fs.statSync(this.#directory, { throwIfNoEntry: false });
      return stat && `${stat.dev} ${stat.ino}`;
    } catch (error) {
      throw fromErrno(error, 'look at', this.#directory);
    }
  }
}
