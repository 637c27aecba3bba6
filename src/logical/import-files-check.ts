import { PgrecallError } from '../errors/pgrecall-error.ts';
import { ImportedContents, type DataEntry, type ImportedFacts } from './import-contents.ts';
import { RowsCheck } from './import-rows.ts';

/** Files of large objects, and those that list them: one before pg_dump 17. */
const largeObject = /^blob_\d+\.dat$/;
const largeObjectList = /^blobs(?:_\d+)?\.toc$/;

/**
 * The files of an archive that is one of files, in a tar archive or a directory, one after the other: `toc.dat` first, then
 * every one that it names.
 */
export class FilesCheck {
  readonly #contents = new ImportedContents();
  /** By their names, those that have not come yet. */
  #awaited: Map<string, DataEntry> | undefined;
  #largeObjects = 0;
  #listedObjects = 0;
  #name = '';
  #rows: RowsCheck | undefined;

  /** Whether pg_dump makes a file of that name for this table of contents. */
  isKnown(name: string): boolean {
    if (!this.#awaited) return name === 'toc.dat';
    return this.#awaited.has(name) || largeObject.test(name) || largeObjectList.test(name);
  }

  /** `isLz4`: it is not looked into. */
  beginFile(name: string, isLz4 = false): void {
    this.#name = name;
    const entry = this.#awaited?.get(name);
    if (largeObject.test(name)) this.#largeObjects += 1;
    else if (entry && !largeObjectList.test(name)) this.#rows = new RowsCheck(entry, isLz4 ? 'lz4' : 'none');
    this.#awaited?.delete(name);
  }

  /** Throws `dump-contents`. */
  async push(bytes: Uint8Array): Promise<void> {
    if (this.#name === 'toc.dat') {
      const rest = this.#contents.push(bytes);
      if (rest && rest.length > 0) throw new PgrecallError('dump-contents', 'toc.dat goes on behind its last entry');
    }
    if (largeObjectList.test(this.#name)) this.#listedObjects += bytes.filter((byte) => byte === 0x0a).length;
    await this.#rows?.push(bytes);
  }

  /** Throws `dump-contents`. */
  async endFile(): Promise<void> {
    if (this.#name === 'toc.dat') {
      this.#contents.end();
      const entries = [...this.#contents.withData];
      this.#awaited = new Map(entries.map(([dumpId, entry]) => [this.#fileOf(dumpId, entry), entry]));
    }
    await this.#rows?.end();
    this.#rows = undefined;
  }

  /** For large objects a tar archive names a file that it does not have, beside the list that it has. */
  #fileOf(dumpId: number, { kind, file = '' }: DataEntry): string {
    if (kind !== 'BLOBS' || largeObjectList.test(file)) return file;
    return (this.#contents.header?.version ?? 0) >= 16 ? `blobs_${dumpId}.toc` : 'blobs.toc';
  }

  /** When all files have passed. Throws `dump-contents` where some did not. */
  async finish(): Promise<ImportedFacts> {
    const [missing] = this.#awaited?.keys() ?? ['toc.dat'];
    if (missing !== undefined) {
      const entry = this.#awaited?.get(missing);
      const of = entry ? `, of "${entry.kind} ${entry.tag}"` : '';
      throw new PgrecallError('dump-contents', `the archive is not complete: it has no "${missing}"${of}`, {
        details: { file: missing },
      });
    }
    if (this.#largeObjects !== this.#listedObjects) {
      throw new PgrecallError(
        'dump-contents',
        `the archive is not complete: it lists ${this.#listedObjects} large objects and has ${this.#largeObjects}`,
      );
    }
    return this.#contents.facts();
  }
}
