import { crc32cOfZeros } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import { sumsLength } from '../repository/block-sums.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { entryFlags, type FileMaps, type StoredEntry } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';
import { partsWithin, pieceBytes, piecesOf, type FileRange } from './extent-order.ts';
import { finishFile } from './file-restorer.ts';
import { ItemSender } from './item-sender.ts';
import type { PresentFile, Placing } from './place-entries.ts';
import type { ComparedPart, RestoreItem, Restoring } from './restore-items.ts';
import { databaseOf } from './selected-databases.ts';

export interface WriteFilesOptions {
  readonly manifest: ManifestReader;
  readonly restoring: Restoring;
  readonly placing: Placing;
  /** Absolute path of the data directory, which exists. */
  readonly directory: string;
  /** Where each tablespace goes, by its oid. */
  readonly tablespaces: ReadonlyMap<number, string>;
  /** Numbers for names, or `undefined` where this process cannot give files away. */
  readonly owner: (user: string, group: string) => { readonly uid: number; readonly gid: number } | undefined;
  /** Takes the text of backup_manifest as files are met. */
  readonly backupManifest: BackupManifestWriter;
  readonly writeBackupManifest: (text: string) => void;
  /** Numbers of databases whose files become empty ones (selected-databases.ts). */
  readonly leftOut: ReadonlySet<number>;
  /** Directly below the data directory: what is there is left as it is. */
  readonly leftAlone: ReadonlySet<string>;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** What came of it, or would. */
export interface WrittenFiles {
  files: number;
  /** Of them, those that were not there, and what they have. */
  newFiles: number;
  newBytes: number;
  /** Of files that were there: what was looked at, and what of it differed. */
  comparedBytes: number;
  changedBytes: number;
}

/**
 * Brings every directory, link and file of the manifest to its place. Directories and links are made here, in order;
 * files go to the threads.
 */
export async function writeFiles(options: WriteFilesOptions): Promise<WrittenFiles> {
  const writing = new Writing(options);
  try {
    for await (const entry of options.manifest.entries()) {
      options.signal.throwIfAborted();
      if (!options.leftAlone.has(entry.path.split('/', 1)[0] ?? '')) await writing.add(entry);
    }
    return await writing.end();
  } catch (error) {
    // Nobody writes on when the caller has been told.
    await writing.stop();
    throw error;
  }
}

class Writing {
  readonly #options: WriteFilesOptions;
  readonly #written: WrittenFiles = { files: 0, newFiles: 0, newBytes: 0, comparedBytes: 0, changedBytes: 0 };
  readonly #sender: ItemSender;
  readonly #directories: StoredEntry[] = [];
  /** Files in pieces, which are finished when all are written. */
  readonly #large: Omit<RestoreItem, 'extents'>[] = [];

  constructor(options: WriteFilesOptions) {
    this.#options = options;
    this.#sender = new ItemSender(options.restoring, ({ newBytes, comparedBytes, changedBytes }) => {
      this.#written.newBytes += newBytes;
      this.#written.comparedBytes += comparedBytes;
      this.#written.changedBytes += changedBytes;
      options.onProgress(newBytes + comparedBytes);
    });
  }

  async add(entry: StoredEntry): Promise<void> {
    const { placing } = this.#options;
    if (entry.kind === 'file') await this.#addFile(entry);
    else if (entry.kind === 'symlink') placing.makeLink(pathOf(this.#options, entry), placeOf(this.#options, entry));
    else {
      if (entry.path !== '') placing.makeDirectory(pathOf(this.#options, entry));
      this.#directories.push(entry);
    }
  }

  async #addFile(entry: StoredEntry): Promise<void> {
    const options = this.#options;
    const absolutePath = pathOf(options, entry);
    const { mode, modifiedMs, owner, group, sizeBytes } = entry;
    const attributes = { mode, modifiedMs, owner: options.owner(owner, group) };
    this.#written.files += 1;
    if (isLeftOut(options, entry)) {
      describeFile(options, { ...entry, crc32c: crc32cOfZeros(sizeBytes) });
      await this.#sender.send({ absolutePath, attributes, extents: [], lengthBytes: sizeBytes });
      return;
    }
    describeFile(options, entry);
    const present = options.placing.presentFile(absolutePath, attributes);
    if (!present) this.#written.newFiles += 1;
    if (!present && options.placing.only) {
      this.#written.newBytes += sizeBytes;
      return;
    }
    const cut = present && present.sizeBytes > sizeBytes ? { lengthBytes: sizeBytes } : {};
    const maps = entry.maps ?? (await entry.loadMaps());
    const sums = sumsOf(entry, maps);
    const isLarge = sizeBytes > pieceBytes;
    if (isLarge) this.#large.push({ absolutePath, attributes, ...cut });
    for (const range of isLarge ? piecesOf(sizeBytes) : [{ start: 0, end: sizeBytes }]) {
      await this.#sender.send({
        absolutePath,
        extents: isLarge ? partsWithin(maps.extents, [range]) : maps.extents,
        ...(isLarge ? { attributes: undefined } : { attributes, ...cut }),
        ...(present && { compared: comparedPart(range, sums, present, options.placing.only) }),
      });
    }
  }

  async end(): Promise<WrittenFiles> {
    await this.#sender.end();
    const { placing, owner } = this.#options;
    if (!placing.only) for (const item of this.#large) finishFile(item);
    for (const entry of this.#directories) {
      const attributes = { mode: entry.mode, owner: owner(entry.owner, entry.group) };
      placing.finishDirectory(pathOf(this.#options, entry), attributes);
    }
    return this.#written;
  }

  async stop(): Promise<void> {
    await this.#sender.stop();
  }
}

function comparedPart(
  range: FileRange,
  sums: readonly Extent[] | undefined,
  present: PresentFile,
  only: boolean,
): ComparedPart {
  const start = sumsLength(range.start);
  const of = sums && partsWithin(sums, [{ start, end: start + sumsLength(range.end - range.start) }]);
  return { range, sums: of, presentBytes: present.sizeBytes, hasAttributes: present.hasAttributes, only };
}

/** `undefined` of a file of whose blocks nobody took sums. */
function sumsOf({ flags, sizeBytes }: StoredEntry, { sums }: FileMaps): readonly Extent[] | undefined {
  const ofBlocks = (flags & entryFlags.chunkDigests) === 0;
  return ofBlocks && (sums.length > 0 || sizeBytes === 0) ? sums : undefined;
}

/** `2026-11-23 08:38:34 GMT`, as backup_manifest has it. */
export function formatGmt(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} GMT`;
}

function describeFile({ backupManifest, writeBackupManifest }: WriteFilesOptions, entry: StoredEntry): void {
  const { path, sizeBytes, crc32c } = entry;
  writeBackupManifest(
    backupManifest.addFile({
      path: path.isWellFormed() ? path : encodePath(path),
      sizeBytes,
      lastModified: formatGmt(entry.modifiedMs),
      crc32c,
    }),
  );
}

function isLeftOut({ leftOut }: WriteFilesOptions, { path }: StoredEntry): boolean {
  if (leftOut.size === 0) return false;
  const database = databaseOf(path);
  return database !== undefined && leftOut.has(database);
}

function pathOf({ directory }: WriteFilesOptions, { path }: StoredEntry): string {
  return path === '' ? directory : `${directory}/${path}`;
}

/** Where a link is to lead: not where the manifest says. */
function placeOf({ tablespaces }: WriteFilesOptions, { path }: StoredEntry): string {
  const match = /^pg_tblspc\/(\d+)$/.exec(path);
  const place = match ? tablespaces.get(Number(match[1])) : undefined;
  if (place !== undefined) return place;
  throw new PgrecallError(
    'manifest-hostile',
    `the manifest has a link at "${path}", which is no tablespace of this backup`,
    {
      details: { path },
    },
  );
}
