import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { BackupManifestLines } from '../postgres/backup-manifest-lines.ts';
import type { ParsedManifestFile } from '../postgres/backup-manifest.ts';
import { ruleFor } from '../postgres/data-directory-rules.ts';
import { decodePath } from '../repository/path-text.ts';
import type { CameAs, EntryShelf } from './entry-shelf.ts';
import { wholePath, type StreamArchives } from './stream-archives.ts';

/** Compares what came with what the server says that it has sent: sizes and CRCs of its backup_manifest. */
export class StreamCheck {
  readonly #shelf: EntryShelf;
  readonly #archives: StreamArchives;
  readonly #incremental: boolean;
  readonly #lines = new BackupManifestLines();
  #files = 0;

  constructor(shelf: EntryShelf, archives: StreamArchives, incremental: boolean) {
    this.#shelf = shelf;
    this.#archives = archives;
    this.#incremental = incremental;
  }

  /** A part of the manifest, when all else has come. Throws `decode`, `backup-failed`. */
  push(bytes: Uint8Array): void {
    for (const file of this.#lines.push(bytes)) this.#check(file);
  }

  /** `files`: how many there are in the backup. */
  finish(files: number): void {
    this.#lines.finish();
    if (this.#files === files) return;
    throw failed(`the server says that it sent ${this.#files} files, and ${files} came`);
  }

  #check({ path: named, sizeBytes, checksum }: ParsedManifestFile): void {
    const sent = typeof named === 'string' ? named : decodePath(named);
    const document = this.#archives.document(sent);
    const path = (this.#incremental ? wholePath(sent) : undefined) ?? sent;
    if (!document && ruleFor(path, 'file') === 'leave-out') return;
    if (!document) this.#files += 1;
    const came: CameAs | undefined = document
      ? { sizeBytes: document.length, crc32c: crc32c(document) }
      : this.#shelf.cameAs(path);
    if (!came) throw failed(`"${sent}" did not come`);
    if (came.sizeBytes !== sizeBytes || (checksum !== undefined && checksum !== formatCrc(came.crc32c))) {
      throw failed(`"${sent}" came otherwise than the server sent it`);
    }
  }
}

/** As PostgreSQL prints a CRC: its bytes as they lie in memory. */
function formatCrc(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString('hex');
}

function failed(problem: string): PgrecallError {
  return new PgrecallError('backup-failed', problem, { hint: 'start the backup again; nothing half-made is listed' });
}
