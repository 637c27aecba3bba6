import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { once } from 'node:events';
import { createGzip, createZstdCompress, type Gzip, type ZstdCompress } from 'node:zlib';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { writing } from '../restore/write-error.ts';

/** Where an export goes: bytes one after the other, in bounded memory. */
export interface ByteOutput {
  /** Takes all of it; the caller may use the bytes for something else afterwards. Throws `disk-full`, `io`. */
  write(bytes: Uint8Array): void | Promise<void>;
  /** All is written, and durable where it is a file. */
  finish(): Promise<void>;
  /** Forgets what was written, as far as that can be. */
  abort(): Promise<void>;
}

export const compressions = ['none', 'gzip', 'zstd'] as const;
export type ExportCompression = (typeof compressions)[number];

/** What a file name ends with. */
export const endings: Readonly<Record<ExportCompression, string>> = { none: '', gzip: '.gz', zstd: '.zst' };

/** A file under a name of its own until it is whole: nothing half-made has the right one. */
export class FileOutput implements ByteOutput {
  readonly #path: string;
  readonly #partial: string;
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#partial = `${path}.partial`;
    this.#descriptor = writing(path, () => openSync(this.#partial, 'wx', 0o600));
  }

  write(bytes: Uint8Array): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new PgrecallError('bug', `"${this.#path}" is closed`);
    writing(this.#path, () => {
      for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
    });
  }

  async finish(): Promise<void> {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    writing(this.#path, () => fsyncSync(descriptor));
    this.#close();
    writing(this.#path, () => renameSync(this.#partial, this.#path));
  }

  async abort(): Promise<void> {
    this.#close();
    rmSync(this.#partial, { force: true });
    rmSync(this.#path, { force: true });
  }

  #close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

const slowReaderPauseMs = 5;

/** Standard output, or what else is open; whoever reads it decides how fast. */
export class DescriptorOutput implements ByteOutput {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      try {
        done += writeSync(this.#descriptor, bytes, done);
      } catch (error) {
        if (!isErrno(error, 'EAGAIN')) throw new PgrecallError('io', 'cannot write the export', { cause: error });
        await new Promise((resolve) => setTimeout(resolve, slowReaderPauseMs));
      }
    }
  }

  async finish(): Promise<void> {
    // Whoever opened it closes it.
  }

  async abort(): Promise<void> {
    // What was written is with its reader.
  }
}

/** Compresses on its way to another output, on a thread beside this one. */
export function compressed(inner: ByteOutput, compression: ExportCompression): ByteOutput {
  switch (compression) {
    case 'none':
      return inner;
    case 'gzip':
      return new CompressedOutput(inner, createGzip({ chunkSize: outputBytes }));
    case 'zstd':
      // Its own threads (nbWorkers) are more than the streams of Node can stand.
      return new CompressedOutput(inner, createZstdCompress({ chunkSize: outputBytes }));
  }
}

const outputBytes = 262_144;

class CompressedOutput implements ByteOutput {
  readonly #inner: ByteOutput;
  readonly #stream: Gzip | ZstdCompress;
  readonly #copying: Promise<void>;
  #failure: unknown;

  constructor(inner: ByteOutput, stream: Gzip | ZstdCompress) {
    this.#inner = inner;
    this.#stream = stream;
    this.#copying = this.#copy();
  }

  async #copy(): Promise<void> {
    try {
      for await (const part of this.#stream) await this.#inner.write(part as Uint8Array);
    } catch (error) {
      this.#failure = error;
      // Whoever waits for room is told.
      this.#stream.emit('drain');
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    // The stream keeps it for as long as it needs it.
    if (!this.#stream.write(Uint8Array.from(bytes))) await once(this.#stream, 'drain');
    if (this.#failure !== undefined) throw this.#failure;
  }

  async finish(): Promise<void> {
    this.#stream.end();
    await this.#copying;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#inner.finish();
  }

  async abort(): Promise<void> {
    this.#stream.destroy();
    await this.#copying;
    await this.#inner.abort();
  }
}
