import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpFacts, DumpedDatabase } from '../repository/dump-facts.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { decodeTarHeader, tarBlockBytes } from '../tar/tar-header.ts';
import { directoryPath, dumpPath } from './dump-arguments.ts';
import { listDumpFiles, readDumpFile } from './read-dump.ts';
import { TocDecoder } from './toc-decoder.ts';
import type { TocEntry } from './toc-entry.ts';
import type { TocHeader } from './toc-header.ts';

export interface ListedEntry extends TocEntry {
  /** Of its rows, as text; undefined where the archive does not tell without being read to its end. */
  readonly dataBytes: number | undefined;
}

/** What an archive says of itself, before its entries. */
export interface DatabaseContents {
  readonly database: DumpedDatabase;
  readonly header: TocHeader;
}

/** Called in the order of the databases: an archive, then its entries. */
export interface ContentsVisitor {
  readonly onArchive: (contents: DatabaseContents) => void;
  readonly onEntry: (entry: ListedEntry) => void;
}

/**
 * What the archives of a dump contain, database by database, each entry as it is decoded; nothing of a plain dump, which has no
 * table of contents. Throws `dump-contents`, `object-missing` and what the storage throws.
 */
export async function listContents(
  cluster: ClusterRepository,
  { id, dump, signal }: { readonly id: string; readonly dump: DumpFacts; readonly signal: AbortSignal },
  { onArchive, onEntry }: ContentsVisitor,
): Promise<void> {
  const { format } = dump;
  if (format === 'plain') return;
  const files = await listDumpFiles(cluster, id);
  for (const database of dump.databases) {
    const path = format === 'directory' ? directoryPath(database.oid, 'toc.dat') : dumpPath(database.oid, format);
    const file = files.get(path);
    if (!file) throw new PgrecallError('object-missing', `${id} has no "${path}"`, { details: { path } });
    const decoder = new TocDecoder((header) => onArchive({ database, header }));
    const visitAll = (entries: Iterable<TocEntry>): void => {
      for (const entry of entries) {
        const rows = format === 'directory' && entry.file !== undefined;
        const dataBytes = rows ? files.get(directoryPath(database.oid, entry.file))?.sizeBytes : undefined;
        onEntry({ ...entry, dataBytes });
      }
    };
    await decodeFile(cluster, file, { decoder, isTar: format === 'tar', visitAll, signal });
  }
}

interface Decoding {
  readonly decoder: TocDecoder;
  readonly isTar: boolean;
  readonly visitAll: (entries: Iterable<TocEntry>) => void;
  readonly signal: AbortSignal;
}

/** Up to the end of the table of contents, which comes first in archives that are one file. */
async function decodeFile(
  cluster: ClusterRepository,
  file: StoredEntry,
  { decoder, isTar, visitAll, signal }: Decoding,
): Promise<void> {
  let skip = isTar ? tarBlockBytes : 0;
  for await (const bytes of readDumpFile(cluster, file)) {
    signal.throwIfAborted();
    if (skip > 0) checkFirstMember(bytes, file.path);
    visitAll(decoder.push(bytes.subarray(skip)));
    skip = 0;
    if (decoder.done) return;
  }
  visitAll(decoder.end());
}

/** Throws `dump-contents` where a tar archive does not begin with its table of contents. */
function checkFirstMember(bytes: Uint8Array, path: string): void {
  let name: string | undefined;
  try {
    name = Buffer.from(decodeTarHeader(bytes.subarray(0, tarBlockBytes))?.name ?? []).toString();
  } catch (error) {
    if (!hasCode(error, 'decode')) throw error;
  }
  if (name !== 'toc.dat') throw new PgrecallError('dump-contents', `"${path}" does not begin with toc.dat`);
}
