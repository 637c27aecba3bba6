import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { DumpFacts } from '../repository/dump-facts.ts';
import { TocDecoder } from './toc-decoder.ts';
import type { TocEntry } from './toc-entry.ts';
import type { TocHeader } from './toc-header.ts';

/** What a file that is imported says of the database that it is from. */
export interface ImportedFacts {
  /** Where it does not tell, whoever imports has to. */
  readonly database: string | undefined;
  readonly encoding: string;
  readonly content: DumpFacts['content'];
  readonly serverVersion: string;
  readonly dumpVersion: string;
  /** On the clock of where pg_dump ran. */
  readonly dumpedAt?: string;
  /** A script of pg_dumpall: roles and tablespaces, no database. */
  readonly globals?: true;
  /** Options that pg_dump was given, as far as they show. */
  readonly options?: readonly string[];
}

/** Looks at a file of pg_dump as it passes on its way into the repository. */
export interface ContentCheck {
  /** Throws `dump-contents`. The bytes may be used for something else afterwards. */
  push(bytes: Uint8Array): Promise<void>;
  /** When all has been pushed. Throws `dump-contents` for what is not complete. */
  end(): Promise<ImportedFacts>;
}

/** What of an entry is needed to tell whether its rows are there. */
export type DataEntry = Pick<TocEntry, 'kind' | 'tag' | 'copyStatement' | 'file'>;

/** The table of contents of an archive that is imported, as it passes. */
export class ImportedContents {
  /** Those with rows or large objects, by their dump ids. */
  readonly withData = new Map<number, DataEntry>();
  header: TocHeader | undefined;
  readonly #decoder: TocDecoder;
  #encoding = 'UTF8';
  #hasTables = false;
  #hasDefinitions = false;

  constructor() {
    this.#decoder = new TocDecoder((header) => (this.header = header));
  }

  /** What comes behind the table of contents; `undefined` as long as that goes on. Throws `dump-contents`. */
  push(bytes: Uint8Array): Uint8Array | undefined {
    this.#noteAll(this.#decoder.push(bytes));
    return this.#decoder.done ? this.#decoder.rest : undefined;
  }

  /** Throws `dump-contents` where it is cut off. */
  end(): void {
    this.#noteAll(this.#decoder.end());
  }

  #noteAll(entries: Iterable<TocEntry>): void {
    for (const { dumpId, kind, tag, copyStatement, file, hasData, section, definition } of entries) {
      if (kind === 'ENCODING') this.#encoding = /'([\w-]+)'/.exec(definition ?? '')?.[1] ?? this.#encoding;
      if (hasData) this.withData.set(dumpId, { kind, tag, copyStatement, file });
      if (kind === 'TABLE') this.#hasTables = true;
      if (section === 'pre-data' || section === 'post-data') this.#hasDefinitions ||= kind !== 'ENCODING';
    }
  }

  /** After its end. */
  facts(): ImportedFacts {
    const { header, withData } = this;
    if (!header) throw new PgrecallError('dump-contents', 'the archive has no table of contents');
    const hasRows = [...withData.values()].some(({ kind }) => kind === 'TABLE DATA');
    return {
      database: header.database,
      encoding: this.#encoding,
      content: hasRows && !this.#hasDefinitions ? 'data' : this.#hasTables && withData.size === 0 ? 'schema' : 'all',
      serverVersion: versionOf(header.serverVersion),
      dumpVersion: versionOf(header.dumpVersion),
      dumpedAt: header.createdAt,
    };
  }
}

/** `15.18 (Debian 15.18-0+deb12u1)` → `15.18`. */
function versionOf(text: string | undefined): string {
  return /^\d[\w.]{0,30}/.exec(text ?? '')?.[0] ?? '';
}
