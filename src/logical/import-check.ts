import { PgrecallError, assert, hasCode } from '../errors/pgrecall-error.ts';
import { TarReader } from '../tar/tar-reader.ts';
import { CustomBlocks } from './import-blocks.ts';
import { ImportedContents, type ContentCheck, type DataEntry, type ImportedFacts } from './import-contents.ts';
import { FilesCheck } from './import-files-check.ts';
import type { ContentKind } from './import-format.ts';
import { RowsCheck } from './import-rows.ts';
import { ScriptCheck } from './import-script.ts';

export function checkOf(kind: ContentKind): ContentCheck {
  switch (kind) {
    case 'custom':
      return new CustomCheck();
    case 'tar':
      return new TarCheck();
    case 'script':
    case 'cluster-script':
      return new ScriptCheck(kind);
  }
}

class CustomCheck implements ContentCheck {
  readonly #contents = new ImportedContents();
  #blocks: CustomBlocks | undefined;
  #pushed = 0;
  #rows: RowsCheck | undefined;
  #entry: DataEntry | undefined;
  readonly #seen = new Set<number>();

  async push(bytes: Uint8Array): Promise<void> {
    this.#pushed += bytes.length;
    if (this.#blocks) {
      await this.#pushBlocks(this.#blocks, bytes);
      return;
    }
    const rest = this.#contents.push(bytes);
    if (!rest) return;
    const { header } = this.#contents;
    assert(header, 'a table of contents without a header');
    if (header.format !== 'custom') {
      throw new PgrecallError('dump-contents', 'this is the toc.dat of a dump in the directory format, alone', {
        hint: 'name the directory that it lies in',
      });
    }
    this.#blocks = new CustomBlocks(header, this.#pushed - rest.length);
    await this.#pushBlocks(this.#blocks, rest);
  }

  async #pushBlocks(blocks: CustomBlocks, bytes: Uint8Array): Promise<void> {
    for (const part of blocks.push(bytes)) {
      if (part.kind === 'block') {
        this.#entry = this.#contents.withData.get(part.dumpId);
        if (!this.#entry || this.#seen.has(part.dumpId)) {
          throw new PgrecallError('dump-contents', `the archive is damaged: it has rows of an entry ${part.dumpId}`);
        }
        this.#seen.add(part.dumpId);
      } else {
        assert(this.#entry, 'rows that belong to nothing');
        this.#rows ??= new RowsCheck(this.#entry, this.#contents.header?.compression ?? 'none');
        if (part.kind === 'content') await this.#rows.push(part.bytes);
        else await this.#endRows();
      }
    }
  }

  async #endRows(): Promise<void> {
    await this.#rows?.end();
    this.#rows = undefined;
  }

  async end(): Promise<ImportedFacts> {
    if (!this.#blocks) this.#contents.end();
    this.#blocks?.finish();
    const missing = [...this.#contents.withData].find(([dumpId]) => !this.#seen.has(dumpId))?.[1];
    if (!missing) return this.#contents.facts();
    const what = `${missing.kind} ${missing.tag}`;
    throw new PgrecallError('dump-contents', `the archive is cut off: it has no "${what}"`, {
      details: { entry: what },
    });
  }
}

class TarCheck implements ContentCheck {
  readonly #reader = new TarReader();
  readonly #files = new FilesCheck();

  async push(bytes: Uint8Array): Promise<void> {
    for (const part of asContents(this.#reader.push(bytes))) {
      if (part.kind === 'content') await this.#files.push(part.bytes);
      else if (part.kind === 'end') await this.#files.endFile();
      else {
        const name = Buffer.from(part.header.name).toString();
        // The script that it brings for people.
        if (part.header.kind === 'file' && (name === 'restore.sql' || this.#files.isKnown(name))) {
          this.#files.beginFile(name);
        } else
          throw new PgrecallError('dump-contents', `the archive has a member "${name}", which is none of pg_dump's`);
      }
    }
  }

  async end(): Promise<ImportedFacts> {
    try {
      this.#reader.finish();
    } catch (error) {
      throw asOurs(error);
    }
    return this.#files.finish();
  }
}

function* asContents<T>(parts: Generator<T>): Generator<T> {
  try {
    yield* parts;
  } catch (error) {
    throw asOurs(error);
  }
}

function asOurs(error: unknown): unknown {
  if (!hasCode(error, 'decode')) return error;
  return new PgrecallError('dump-contents', `the archive is damaged: ${error.message}`, { cause: error });
}
