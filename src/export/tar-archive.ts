import { assert } from '../errors/pgrecall-error.ts';
import { encodeTarHeader, tarEndBytes, tarPadding, type TarMember } from '../tar/tar-header.ts';
import type { ByteOutput } from './byte-output.ts';

const zeros = new Uint8Array(tarEndBytes);

/** A tar archive that is being written, one member after the other. */
export class TarArchive {
  readonly #output: ByteOutput;
  /** Of the member under way. */
  #left = 0;
  #padding = 0;

  constructor(output: ByteOutput) {
    this.#output = output;
  }

  /** A member; the content of a file follows in `write`, in any number of parts. */
  async begin(member: TarMember): Promise<void> {
    await this.#endMember();
    if (member.kind === 'file') {
      this.#left = member.sizeBytes;
      this.#padding = tarPadding(member.sizeBytes);
    }
    await this.#output.write(encodeTarHeader(member));
  }

  write(bytes: Uint8Array): void | Promise<void> {
    this.#left -= bytes.length;
    assert(this.#left >= 0, 'more content than the header of the member says');
    return this.#output.write(bytes);
  }

  /** A file with its content. */
  async add(member: Omit<TarMember, 'kind' | 'sizeBytes'>, content: Uint8Array): Promise<void> {
    await this.begin({ ...member, kind: 'file', sizeBytes: content.length });
    await this.write(content);
  }

  async finish(): Promise<void> {
    await this.#endMember();
    await this.#output.write(zeros);
    await this.#output.finish();
  }

  async abort(): Promise<void> {
    await this.#output.abort();
  }

  async #endMember(): Promise<void> {
    assert(this.#left === 0, `${this.#left} bytes less than the header of the member says`);
    if (this.#padding > 0) await this.#output.write(zeros.subarray(0, this.#padding));
    this.#padding = 0;
  }
}
