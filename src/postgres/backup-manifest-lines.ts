import { createHash } from 'node:crypto';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { parseManifestFile, type ParsedManifestFile } from './backup-manifest.ts';

/*
 * Reads a backup_manifest as a server writes it (backup/backup_manifest.c), line by line: each file is a line of its own, so that
 * millions of them need no memory.
 */

const newline = 0x0a;
const checksumLine = /^"Manifest-Checksum": "([0-9a-f]{64})"\}$/;
/** A path has 4,096 bytes at most, each written as six characters at worst. */
const mostLineBytes = 65_536;

export class BackupManifestLines {
  readonly #hash = createHash('sha256');
  #rest: Uint8Array = new Uint8Array(0);
  #stored: string | undefined;

  /** The files that `chunk` brings. Throws `decode`. */
  *push(chunk: Uint8Array): Generator<ParsedManifestFile> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      const line = bytes.subarray(start, end + 1);
      start = end + 1;
      const file = this.#take(line);
      if (file) yield file;
    }
    this.#rest = Uint8Array.from(bytes.subarray(start));
    if (this.#rest.length > mostLineBytes) fail('a line without an end');
  }

  #take(line: Uint8Array): ParsedManifestFile | undefined {
    if (this.#stored !== undefined) fail('it goes on behind its checksum');
    const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8').trimEnd();
    this.#stored = checksumLine.exec(text)?.[1];
    if (this.#stored !== undefined) return undefined;
    this.#hash.update(line);
    if (!/^\{ "(?:Encoded-)?Path"/.test(text)) return undefined;
    return parseManifestFile(text.endsWith(',') ? text.slice(0, -1) : text);
  }

  /** When all has been pushed. Throws `decode` where the manifest was cut or changed. */
  finish(): void {
    if (this.#rest.length > 0 || this.#stored === undefined || this.#stored !== this.#hash.digest('hex')) {
      fail('its checksum is missing or wrong');
    }
  }
}

function fail(problem: string): never {
  throw new PgrecallError('decode', `backup_manifest: ${problem}`);
}
