import { once } from 'node:events';
import { createInflate, createZstdDecompress, type Inflate, type ZstdDecompress } from 'node:zlib';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { TocEntry } from './toc-entry.ts';
import type { TocHeader } from './toc-header.ts';

/** What pg_dump writes behind the rows of a table that COPY gave it. */
const endOfCopy = '\\.\n\n\n';

/**
 * Looks at the rows of one table, or at one large object, as they pass: that they can be decompressed, which tells of what was
 * changed, and that they end as pg_dump ends them, which tells of what is missing.
 */
export class RowsCheck {
  readonly #what: string;
  readonly #engine: Inflate | ZstdDecompress | undefined;
  readonly #reading: Promise<void>;
  readonly #endsWith: string | undefined;
  #failure: unknown;
  #tail = Buffer.alloc(0);

  /** `compression`: of each stream of a custom archive. One by lz4 is not looked into. */
  constructor(entry: Pick<TocEntry, 'kind' | 'tag' | 'copyStatement'>, compression: TocHeader['compression']) {
    this.#what = `${entry.kind} ${entry.tag}`;
    this.#engine =
      compression === 'gzip' ? createInflate() : compression === 'zstd' ? createZstdDecompress() : undefined;
    this.#endsWith =
      entry.kind === 'TABLE DATA' && entry.copyStatement && compression !== 'lz4' ? endOfCopy : undefined;
    this.#reading = this.#readAll();
  }

  async #readAll(): Promise<void> {
    if (!this.#engine) return;
    try {
      for await (const bytes of this.#engine) this.#keepTail(bytes as Buffer);
    } catch (error) {
      this.#failure = error;
      this.#engine.emit('drain');
    }
  }

  /** Throws `dump-contents`. The bytes may be used for something else afterwards. */
  async push(bytes: Uint8Array): Promise<void> {
    if (!this.#engine) {
      this.#keepTail(bytes);
      return;
    }
    if (this.#failure === undefined && !this.#engine.write(Uint8Array.from(bytes))) await once(this.#engine, 'drain');
    if (this.#failure !== undefined) throw this.#damaged();
  }

  /** After the last byte. Throws `dump-contents`. */
  async end(): Promise<void> {
    this.#engine?.end();
    await this.#reading;
    if (this.#failure !== undefined) throw this.#damaged();
    if (this.#endsWith === undefined || this.#tail.toString('latin1') === this.#endsWith) return;
    throw new PgrecallError('dump-contents', `the archive is cut off or was changed: "${this.#what}" has no end`, {
      details: { entry: this.#what },
    });
  }

  #keepTail(bytes: Uint8Array): void {
    const least = endOfCopy.length;
    const joined = bytes.length >= least ? Buffer.from(bytes.subarray(-least)) : Buffer.concat([this.#tail, bytes]);
    this.#tail = joined.subarray(-least);
  }

  #damaged(): PgrecallError {
    return new PgrecallError('dump-contents', `the archive is damaged: "${this.#what}" cannot be decompressed`, {
      cause: this.#failure,
      details: { entry: this.#what },
    });
  }
}
