import { chmodSync, chownSync, mkdirSync, symlinkSync } from 'node:fs';
import { crc32cOfZeros } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { encodePath, fileSystemPath } from '../repository/path-text.ts';
import { UnderWay } from '../threads/under-way.ts';
import { partsWithin, pieceBytes, piecesOf } from './extent-order.ts';
import { finishFile } from './file-restorer.ts';
import type { FileAttributes, RestoreItem, Restoring } from './restore-items.ts';
import { databaseOf } from './selected-databases.ts';
import { writing } from './write-error.ts';

const batchBytes = 33_554_432;
const batchItems = 256;

export interface WriteFilesOptions {
  readonly manifest: ManifestReader;
  readonly restoring: Restoring;
  /** Absolute path of the new data directory, which exists and is empty. */
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
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/**
 * Writes every directory, link and file of the manifest. Directories and links are made here, in order;
 * files go to the threads. Returns the number of files.
 */
export async function writeFiles(options: WriteFilesOptions): Promise<number> {
  const sender = new ItemSender(options.restoring, options.onProgress);
  const directories: StoredEntry[] = [];
  const largeFiles: { readonly absolutePath: string; readonly attributes: FileAttributes }[] = [];
  let files = 0;
  try {
    for await (const entry of options.manifest.entries()) {
      options.signal.throwIfAborted();
      if (entry.kind === 'directory') {
        makeDirectory(options, entry);
        directories.push(entry);
      } else if (entry.kind === 'symlink') {
        makeTablespaceLink(options, entry);
      } else {
        files += 1;
        const absolutePath = pathOf(options, entry);
        const attributes = attributesOf(options, entry);
        if (isLeftOut(options, entry)) {
          describeFile(options, { ...entry, crc32c: crc32cOfZeros(entry.sizeBytes) });
          await sender.send({ absolutePath, attributes, extents: [], emptyBytes: entry.sizeBytes });
          continue;
        }
        describeFile(options, entry);
        const { extents } = entry.maps ?? (await entry.loadMaps());
        if (entry.sizeBytes > pieceBytes) largeFiles.push({ absolutePath, attributes });
        for (const item of itemsOf(absolutePath, attributes, entry, extents)) await sender.send(item);
      }
    }
    await sender.end();
  } catch (error) {
    // Nobody writes on when the caller has been told.
    await sender.stop();
    throw error;
  }
  for (const { absolutePath, attributes } of largeFiles) finishFile(absolutePath, attributes);
  for (const entry of directories) finishDirectory(options, entry);
  return files;
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

function attributesOf(options: WriteFilesOptions, { mode, modifiedMs, owner, group }: StoredEntry): FileAttributes {
  return { mode, modifiedMs, owner: options.owner(owner, group) };
}

function makeDirectory(options: WriteFilesOptions, entry: StoredEntry): void {
  if (entry.path === '') return;
  const path = pathOf(options, entry);
  writing(path, () => mkdirSync(fileSystemPath(path), { mode: 0o700 }));
}

/** Modes come last: a directory that is read-only could not be filled. */
function finishDirectory(options: WriteFilesOptions, entry: StoredEntry): void {
  const path = pathOf(options, entry);
  const owner = options.owner(entry.owner, entry.group);
  writing(path, () => {
    if (owner) chownSync(fileSystemPath(path), owner.uid, owner.gid);
    if (entry.mode !== 0o700) chmodSync(fileSystemPath(path), entry.mode);
  });
}

function makeTablespaceLink(options: WriteFilesOptions, entry: StoredEntry): void {
  const match = /^pg_tblspc\/(\d+)$/.exec(entry.path);
  const target = match ? options.tablespaces.get(Number(match[1])) : undefined;
  if (target === undefined) {
    throw new PgrecallError(
      'manifest-hostile',
      `the manifest has a link at "${entry.path}", which is no tablespace of this backup`,
      { details: { path: entry.path } },
    );
  }
  const path = pathOf(options, entry);
  writing(path, () => symlinkSync(target, path));
}

/** The whole file, or its pieces; attributes of a file in pieces are set when all are written. */
function* itemsOf(
  absolutePath: string,
  attributes: FileAttributes,
  { sizeBytes }: StoredEntry,
  extents: readonly Extent[],
): Generator<RestoreItem> {
  if (sizeBytes <= pieceBytes) {
    yield { absolutePath, attributes, extents };
    return;
  }
  for (const piece of piecesOf(sizeBytes)) {
    yield { absolutePath, attributes: undefined, extents: partsWithin(extents, [piece]) };
  }
}

/** Sends items in batches and keeps a bounded number of them under way. */
class ItemSender {
  readonly #restoring: Restoring;
  readonly #onProgress: (bytes: number) => void;
  readonly #underWay = new UnderWay();
  #batch: RestoreItem[] = [];
  #bytes = 0;

  constructor(restoring: Restoring, onProgress: (bytes: number) => void) {
    this.#restoring = restoring;
    this.#onProgress = onProgress;
  }

  async send(item: RestoreItem): Promise<void> {
    this.#batch.push(item);
    for (const { lengthBytes } of item.extents) this.#bytes += lengthBytes;
    if (this.#bytes < batchBytes && this.#batch.length < batchItems) return;
    this.#start();
    await this.#underWay.fewerThan(this.#restoring.parallel);
  }

  async end(): Promise<void> {
    this.#start();
    await this.#underWay.allDone();
  }

  async stop(): Promise<void> {
    await this.#underWay.allSettled();
  }

  #start(): void {
    if (this.#batch.length === 0) return;
    this.#underWay.start(this.#run(this.#batch));
    this.#batch = [];
    this.#bytes = 0;
  }

  async #run(items: readonly RestoreItem[]): Promise<void> {
    const { writtenBytes } = await this.#restoring.restore(items);
    this.#onProgress(writtenBytes);
  }
}
