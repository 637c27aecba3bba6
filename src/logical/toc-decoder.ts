import { TextDecoder } from 'node:util';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { decodeTocEntry, type TocEntry } from './toc-entry.ts';
import { decodeTocHeader, type TocHeader } from './toc-header.ts';
import { MoreNeeded, TocReader } from './toc-reader.ts';

/** With it and one text at its longest, what is held is bounded. */
const maxEntryBytes = 268_435_456;

/**
 * Decodes the table of contents of an archive, as it comes: entry after entry, so that one of millions (before 17, each large
 * object has one) is never held as a whole. What comes after it in a custom archive is not looked at.
 */
export class TocDecoder {
  #held: Uint8Array = new Uint8Array();
  #base = 0;
  #header: TocHeader | undefined;
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** Trying again at every piece would take the square of the time for an entry that is long. */
  #tryAtBytes = 0;
  #decoded = 0;

  readonly #onHeader: (header: TocHeader) => void;

  constructor(onHeader: (header: TocHeader) => void) {
    this.#onHeader = onHeader;
  }

  get done(): boolean {
    return this.#decoded === this.#header?.entries;
  }

  /** What was pushed behind its last entry, once that is there. */
  get rest(): Uint8Array {
    return this.#held;
  }

  /** The entries that are complete now. Throws `dump-contents`. */
  *push(bytes: Uint8Array): Generator<TocEntry> {
    this.#held = this.#held.length === 0 ? bytes.slice() : Buffer.concat([this.#held, bytes]);
    yield* this.#decode(this.#tryAtBytes);
  }

  /** After the last bytes: the entries that waited. Throws `dump-contents` where the table does not end here. */
  *end(): Generator<TocEntry> {
    yield* this.#decode(0);
    if (this.done) return;
    const found = this.#base + this.#held.length;
    const count = this.#header ? `entry ${this.#decoded + 1} of ${this.#header.entries}` : 'its header';
    throw new PgrecallError('dump-contents', `the table of contents is cut off after ${found} bytes, in ${count}`, {
      details: { sizeBytes: found },
    });
  }

  *#decode(leastBytes: number): Generator<TocEntry> {
    if (this.#held.length < leastBytes) return;
    let consumed = 0;
    try {
      while (!this.done) {
        const reader = new TocReader(this.#held.subarray(consumed), this.#base + consumed, this.#decoder);
        const header = this.#header;
        if (header) {
          reader.intBytes = header.intBytes;
          reader.offsetBytes = header.offsetBytes;
          const entry = decodeTocEntry(reader, header);
          if (entry.kind === 'ENCODING') this.#decoder = decoderOf(entry.definition);
          this.#decoded += 1;
          consumed += reader.consumed;
          yield entry;
        } else {
          this.#header = decodeTocHeader(reader);
          consumed += reader.consumed;
          this.#onHeader(this.#header);
        }
      }
    } catch (error) {
      if (!(error instanceof MoreNeeded)) throw error;
    }
    this.#held = this.#held.subarray(consumed);
    this.#base += consumed;
    this.#tryAtBytes = this.#held.length * 2;
    if (!this.done && this.#held.length > maxEntryBytes) {
      new TocReader(this.#held, this.#base).fail(`an entry of more than ${maxEntryBytes} bytes`);
    }
  }
}

/** What the web calls the encodings that PostgreSQL calls otherwise. */
const labels = new Map([
  ['EUC_KR', 'euc-kr'],
  ['UHC', 'euc-kr'],
  ['EUC_JP', 'euc-jp'],
  ['EUC_CN', 'gbk'],
  ['SQL_ASCII', 'utf-8'],
  ['LATIN9', 'iso-8859-15'],
  ['ISO_8859_5', 'iso-8859-5'],
  ['KOI8R', 'koi8-r'],
  ['KOI8U', 'koi8-u'],
]);

/** For the names after `SET client_encoding = 'EUC_KR';`. One that is not known is read as UTF-8, other bytes replaced. */
function decoderOf(definition: string | undefined): TextDecoder {
  const name = /^SET client_encoding = '([\w-]+)'/.exec(definition ?? '')?.[1] ?? 'UTF8';
  const label = labels.get(name) ?? name.replace(/^WIN(\d+)$/, 'windows-$1').toLowerCase();
  try {
    return new TextDecoder(label, { ignoreBOM: true });
  } catch {
    return new TextDecoder('utf-8', { ignoreBOM: true });
  }
}
