import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { listDumpFiles, readDumpFile } from '../logical/read-dump.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpedDatabase, DumpFormat } from '../repository/dump-facts.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { syncDirectory } from '../restore/durable.ts';
import { compressed, endings, type ByteOutput, type ExportCompression } from './byte-output.ts';
import type { DumpExport } from './export-dump-plan.ts';
import { PartOutput, digitsFor, writingExport, type Acting } from './part-output.ts';

/*
 * A dump as the files that psql and pg_restore read, as pg_dump would have written them. One of the directory format is what
 * `pg_restore -Fd` takes: each file of rows is compressed on its own, its table of contents never, which gets its name last,
 * so that a directory without it is no archive.
 */

export interface ExportDumpOptions {
  readonly cluster: ClusterRepository;
  readonly id: string;
  readonly exports: readonly (DumpExport & {
    /** The file, or the directory; `undefined` for `output`. */
    readonly path: string | undefined;
  })[];
  /** Where one without a path goes. */
  readonly output: () => ByteOutput;
  /** Made first, where several go into one. */
  readonly directory?: string;
  readonly compression: ExportCompression;
  readonly partBytes: number | undefined;
  readonly acting: Acting;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** One that was written. */
export interface ExportedDump {
  readonly database: DumpedDatabase | undefined;
  readonly format: DumpFormat;
  /** The file, the first of its parts, or the directory. */
  readonly path: string | undefined;
  readonly files: number;
  /** As they were dumped. */
  readonly sizeBytes: number;
}

/** Throws what reading the repository throws, `target-not-empty`, `disk-full`, `io`; nothing that was written is left then. */
export async function exportDump(options: ExportDumpOptions): Promise<readonly ExportedDump[]> {
  const files = await listDumpFiles(options.cluster, options.id);
  const exporting = new Exporting(options, files);
  try {
    return await exporting.run();
  } catch (error) {
    await exporting.abort();
    throw error;
  }
}

class Exporting {
  readonly #options: ExportDumpOptions;
  readonly #stored: ReadonlyMap<string, StoredEntry>;
  readonly #outputs: ByteOutput[] = [];
  readonly #directories: string[] = [];

  constructor(options: ExportDumpOptions, stored: ReadonlyMap<string, StoredEntry>) {
    this.#options = options;
    this.#stored = stored;
  }

  async run(): Promise<readonly ExportedDump[]> {
    const { directory, acting } = this.#options;
    if (directory !== undefined) this.#makeDirectory(directory);
    const done: ExportedDump[] = [];
    for (const wanted of this.#options.exports) {
      const { database, format } = wanted;
      const written = format === 'directory' ? await this.#writeDirectory(wanted) : await this.#writeFile(wanted);
      done.push({ database, format, ...written });
    }
    // A directory that was made is durable with its name.
    if (directory !== undefined) acting(() => syncDirectory(dirname(directory)));
    return done;
  }

  async abort(): Promise<void> {
    const { acting } = this.#options;
    // The error that is being reported is the one that matters.
    for (const output of this.#outputs) await output.abort().catch(() => undefined);
    for (const directory of this.#directories) acting(() => rmSync(directory, { recursive: true, force: true }));
  }

  async #writeFile({ stored, path }: ExportDumpOptions['exports'][number]): Promise<Written> {
    const file = this.#required(stored);
    const { partBytes, compression, output, acting } = this.#options;
    if (path === undefined) {
      await this.#copy(file, this.#noted(compressed(output(), compression)));
      return { path, files: 1, sizeBytes: file.sizeBytes };
    }
    const split = partBytes === undefined ? undefined : { partBytes, digits: digitsFor(file.sizeBytes, partBytes) };
    const parts = new PartOutput({ path, split, acting });
    await this.#copy(file, this.#noted(compressed(parts, compression)));
    acting(() => syncDirectory(dirname(path)));
    return { path: parts.paths[0] ?? path, files: parts.paths.length, sizeBytes: file.sizeBytes };
  }

  async #writeDirectory({ stored, path = '' }: ExportDumpOptions['exports'][number]): Promise<Written> {
    const { acting, compression } = this.#options;
    const files = [...this.#stored].filter(([name]) => name.startsWith(stored));
    const [last, ...others] = files.toSorted(([a], [b]) => order(a, stored) - order(b, stored));
    if (!last || order(last[0], stored) !== 0) throw missing(`${stored}toc.dat`);
    this.#makeDirectory(path);
    let sizeBytes = 0;
    for (const [name, file] of [...others, last]) {
      const own = name.slice(stored.length);
      // What large objects are called, and the table of contents, pg_restore reads as they are.
      const method = own.endsWith('.dat') && own !== 'toc.dat' ? compression : 'none';
      const output = new PartOutput({ path: join(path, `${own}${endings[method]}`), acting });
      await this.#copy(file, this.#noted(compressed(output, method)));
      sizeBytes += file.sizeBytes;
    }
    acting(() => syncDirectory(path));
    acting(() => syncDirectory(dirname(path)));
    return { path, files: files.length, sizeBytes };
  }

  #makeDirectory(path: string): void {
    const { acting } = this.#options;
    const made = writingExport(path, () => acting(() => mkdirSync(path, { recursive: true, mode: 0o700 })));
    if (made !== undefined) this.#directories.push(made);
  }

  async #copy(file: StoredEntry, output: ByteOutput): Promise<void> {
    const { cluster, signal, onProgress } = this.#options;
    for await (const bytes of readDumpFile(cluster, file)) {
      signal.throwIfAborted();
      await output.write(bytes);
      onProgress(bytes.length);
    }
    await output.finish();
  }

  #noted(output: ByteOutput): ByteOutput {
    this.#outputs.push(output);
    return output;
  }

  #required(path: string): StoredEntry {
    const file = this.#stored.get(path);
    if (!file) throw missing(path);
    return file;
  }
}

type Written = Pick<ExportedDump, 'path' | 'files' | 'sizeBytes'>;

function order(path: string, prefix: string): number {
  return path === `${prefix}toc.dat` ? 0 : 1;
}

function missing(path: string): PgrecallError {
  return new PgrecallError('object-missing', `the dump has no "${path}"`, { details: { path } });
}
