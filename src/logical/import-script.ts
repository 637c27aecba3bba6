import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ContentCheck, ImportedFacts } from './import-contents.ts';

/** What pg_dump says of itself stands in so many bytes. */
const headBytes = 65_536;
const tailBytes = 4096;
/** Longer than what is looked for in what has passed. */
const overlapBytes = 64;

/** A script of pg_dump, or one of pg_dumpall with the globals alone, from its first lines to its last. */
export class ScriptCheck implements ContentCheck {
  readonly #isCluster: boolean;
  #head = '';
  #tail = Buffer.alloc(0);

  constructor(kind: 'script' | 'cluster-script') {
    this.#isCluster = kind === 'cluster-script';
  }

  async push(bytes: Uint8Array): Promise<void> {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.#head.length < headBytes) this.#head += text.toString('utf8', 0, headBytes);
    if (this.#isCluster) refuseDatabases(Buffer.concat([this.#tail.subarray(-overlapBytes), text]));
    const joined = text.length >= tailBytes ? text : Buffer.concat([this.#tail, text]);
    this.#tail = Buffer.from(joined.subarray(-tailBytes));
  }

  async end(): Promise<ImportedFacts> {
    const end = this.#isCluster ? 'PostgreSQL database cluster dump complete' : 'PostgreSQL database dump complete';
    // Newer versions have a line behind it: \unrestrict, and a word.
    const pattern = new RegExp(String.raw`\n-- ${end}\r?\n--\s*(?:\\unrestrict \w+\s*)?$`);
    if (!pattern.test(this.#tail.toString('latin1'))) {
      throw new PgrecallError('dump-contents', `the script is cut off: it does not end with "-- ${end}"`);
    }
    const found = (regexp: RegExp): string | undefined => regexp.exec(this.#head)?.[1];
    const connect = connectPattern.test(this.#head);
    const dumpVersion = found(/^-- Dumped by pg_dump(?:all)? version (\d[\w.]*)/m);
    if (dumpVersion === undefined && !this.#isCluster) {
      throw new PgrecallError('dump-contents', 'the script does not say which pg_dump has made it, as all of them do');
    }
    return {
      database: databaseOfScript(this.#head),
      encoding: found(/^SET client_encoding = '([\w-]+)';/m) ?? 'UTF8',
      content: 'all',
      serverVersion: found(/^-- Dumped from database version (\d[\w.]*)/m) ?? '',
      dumpVersion: dumpVersion ?? '',
      ...(this.#isCluster ? { globals: true } : {}),
      ...(connect && !this.#isCluster ? { options: ['--create'] } : {}),
    };
  }
}

/** In scripts that make their database, and go there. */
const connectPattern = /^\\connect (?:-\S+ )?(.+?)\r?$/m;

/** The database that a script is of, by its first lines, where it tells. */
export function databaseOfScript(head: string): string | undefined {
  const word = connectPattern.exec(head)?.[1];
  return word === undefined ? undefined : databaseOf(word);
}

/** Psql's way to write a name: as it is, in double quotes, or as a connection. */
function databaseOf(word: string): string | undefined {
  if (/^[\w$]+$/.test(word)) return word;
  const quoted = /^"dbname='((?:[^'\\]|\\.)*)'"$/s.exec(word)?.[1] ?? /^"((?:[^"]|"")*)"$/s.exec(word)?.[1];
  return quoted?.replaceAll('""', '"').replaceAll(/\\(.)/gs, '$1');
}

/** A script for several databases goes from one to the next by itself: it cannot be loaded into one. */
function refuseDatabases(text: Buffer): void {
  if (!text.includes('\n-- Databases\n') && !text.includes('\n-- Databases\r\n')) return;
  throw new PgrecallError('usage', 'the script is of pg_dumpall, with databases in it', {
    hint: 'import its globals (pg_dumpall --globals-only) and a dump of each database; or run the script with psql',
  });
}
