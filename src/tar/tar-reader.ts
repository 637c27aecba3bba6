import { PgrecallError } from '../errors/pgrecall-error.ts';
import { decodeTarHeader, tarBlockBytes, tarPadding, type TarHeader } from './tar-header.ts';

/**
 * What an archive consists of, in order: of each member its header, its content in any number of parts, its end. Long names are
 * members here, of the kinds that tar-header.ts gives them.
 */
export type TarPart =
  | { readonly kind: 'member'; readonly header: TarHeader }
  /** A view of what was pushed. */
  | { readonly kind: 'content'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' };

/** Cuts an archive into its members, however its bytes are split on their way; holds no more than a header. */
export class TarReader {
  #header = new Uint8Array(tarBlockBytes);
  #headerLength = 0;
  /** Of the member under way; with `#isOpen`, its end is still to be told. */
  #contentLeft = 0;
  #isOpen = false;
  #paddingLeft = 0;
  #ended = false;

  /** The parts that `chunk` brings. Throws `decode`. */
  *push(chunk: Uint8Array): Generator<TarPart> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#contentLeft > 0) {
        const bytes = chunk.subarray(at, at + this.#contentLeft);
        at += bytes.length;
        this.#contentLeft -= bytes.length;
        yield { kind: 'content', bytes };
      } else if (this.#paddingLeft > 0) {
        const skipped = Math.min(this.#paddingLeft, chunk.length - at);
        at += skipped;
        this.#paddingLeft -= skipped;
      } else {
        at = this.#takeHeader(chunk, at);
        if (this.#headerLength < tarBlockBytes) return;
        this.#headerLength = 0;
        const header = decodeTarHeader(this.#header);
        // What it says is views of its bytes.
        this.#header = new Uint8Array(tarBlockBytes);
        if (header) yield this.#begin(header);
        else this.#ended = true;
      }
      if (this.#isOpen && this.#contentLeft === 0) {
        this.#isOpen = false;
        yield { kind: 'end' };
      }
    }
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const taken = chunk.subarray(at, at + tarBlockBytes - this.#headerLength);
    this.#header.set(taken, this.#headerLength);
    this.#headerLength += taken.length;
    return at + taken.length;
  }

  #begin(header: TarHeader): TarPart {
    if (this.#ended) throw new PgrecallError('decode', 'a tar archive that goes on behind its end');
    this.#contentLeft = header.sizeBytes;
    this.#paddingLeft = tarPadding(header.sizeBytes);
    this.#isOpen = true;
    return { kind: 'member', header };
  }

  /** When all has been pushed. Throws `decode` where the archive was cut. */
  finish(): void {
    if (this.#isOpen || this.#paddingLeft > 0 || this.#headerLength > 0) {
      throw new PgrecallError('decode', 'a tar archive that is cut');
    }
  }
}
