import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { DumpFormat } from '../repository/dump-facts.ts';
import { tarBlockBytes } from '../tar/tar-header.ts';
import { ImportedContents } from './import-contents.ts';
import { contentKindOf, type ContentKind } from './import-format.ts';
import { databaseOfScript } from './import-script.ts';
import { readImportFile, type ImportFile, type ImportSource } from './import-source.ts';

/** What the beginning of a dump tells, before anything is stored. */
export interface PeekedImport {
  readonly format: DumpFormat;
  /** Of a file. */
  readonly kind: ContentKind | undefined;
  /** Absent where it does not tell, and of globals. */
  readonly database: string | undefined;
}

const peekedBytes = 65_536;

/** Throws `dump-contents` for what pg_dump has not made, `usage`, `io`. */
export async function peekSource(source: ImportSource): Promise<PeekedImport> {
  if (source.kind === 'directory') {
    const toc = source.files.get('toc.dat');
    if (!toc) {
      throw new PgrecallError('usage', `"${source.name}" is no dump in the directory format: it has no toc.dat`, {
        hint: 'name the file, or the directory that pg_dump -Fd has made',
      });
    }
    return { format: 'directory', kind: undefined, database: databaseOfArchive(await readHead(toc)) };
  }
  const { file } = source;
  const head = await readHead(file);
  const kind = contentKindOf(head);
  switch (kind) {
    case 'custom':
      return { format: 'custom', kind, database: databaseOfArchive(head) };
    case 'tar':
      return { format: 'tar', kind, database: databaseOfArchive(head.subarray(tarBlockBytes)) };
    case 'script':
      return { format: 'plain', kind, database: databaseOfScript(head.toString('utf8')) };
    case 'cluster-script':
      return { format: 'plain', kind, database: undefined };
    default:
      throw new PgrecallError(
        'dump-contents',
        head.length === 0 ? `"${file.name}" is empty` : `"${file.name}" is neither an archive nor a script of pg_dump`,
        { hint: 'what is read: plain, custom, tar and directory, as they are or compressed by gzip or zstd' },
      );
  }
}

async function readHead(file: ImportFile): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of readImportFile(file, () => undefined)) {
    parts.push(bytes.slice(0, peekedBytes));
    length += bytes.length;
    if (length >= peekedBytes) break;
  }
  return Buffer.concat(parts);
}

/** Throws `dump-contents` where the header is damaged already. */
function databaseOfArchive(head: Uint8Array): string | undefined {
  const contents = new ImportedContents();
  contents.push(head);
  return contents.header?.database;
}
