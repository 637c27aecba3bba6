import { chmodSync, chownSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Extent } from '../repository/file-map.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import type { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import { UnderWay } from '../threads/under-way.ts';
import type { RestoreItem, Restoring } from './restore-items.ts';
import { writeError } from './file-restorer.ts';

/** Extents to a piece: 64 MiB of 256 KiB chunks. */
const pieceExtents = 256;
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
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/**
 * Writes every directory, link and file of the manifest. Directories and links are made here, in order;
 * files go to the threads. Returns the number of files.
 */
export async function writeFiles(options: WriteFilesOptions): Promise<number> {
  const sender = new ItemSender(options.restoring, options.onProgress);
  const directoriesToFinish: StoredEntry[] = [];
  let files = 0;
  for await (const entry of options.manifest.entries()) {
    options.signal.throwIfAborted();
    if (entry.kind === 'directory') {
      makeDirectory(options, entry);
      directoriesToFinish.push(entry);
    } else if (entry.kind === 'symlink') {
      makeTablespaceLink(options, entry);
    } else {
      files += 1;
      options.writeBackupManifest(
        options.backupManifest.addFile({
          path: entry.path,
          sizeBytes: entry.sizeBytes,
          lastModified: formatGmt(entry.modifiedMs),
          crc32c: entry.crc32c,
        }),
      );
      for await (const item of itemsOf(options, entry)) await sender.send(item);
    }
  }
  await sender.end();
  for (const entry of directoriesToFinish) finishDirectory(options, entry);
  return files;
}

/** `2026-11-23 08:38:34 GMT`, as backup_manifest has it. */
export function formatGmt(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} GMT`;
}

function makeDirectory(options: WriteFilesOptions, entry: StoredEntry): void {
  if (entry.path === '') return;
  const path = join(options.directory, entry.path);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    throw writeError(error, path);
  }
}

/** Modes come last: a directory that is read-only could not be filled. */
function finishDirectory(options: WriteFilesOptions, entry: StoredEntry): void {
  const path = entry.path === '' ? options.directory : join(options.directory, entry.path);
  const owner = options.owner(entry.owner, entry.group);
  if (owner) chownSync(path, owner.uid, owner.gid);
  if (entry.mode !== 0o700) chmodSync(path, entry.mode);
}

function makeTablespaceLink(options: WriteFilesOptions, entry: StoredEntry): void {
  const match = /^pg_tblspc\/(\d+)$/.exec(entry.path);
  const target = match ? options.tablespaces.get(Number(match[1])) : undefined;
  if (target === undefined) {
    throw new PgrecallError(
      'manifest-hostile',
      `the manifest has a link at "${entry.path}", which is no tablespace of this backup`,
    );
  }
  symlinkSync(target, join(options.directory, entry.path));
}

async function* itemsOf(options: WriteFilesOptions, entry: StoredEntry): AsyncGenerator<RestoreItem> {
  const extents = entry.extents ?? (await entry.loadExtents());
  const base = {
    absolutePath: join(options.directory, entry.path),
    mode: entry.mode,
    owner: options.owner(entry.owner, entry.group),
  };
  if (extents.length <= pieceExtents) {
    yield { ...base, modifiedMs: entry.modifiedMs, extents };
    return;
  }
  for (let i = 0; i < extents.length; i += pieceExtents) {
    yield { ...base, modifiedMs: undefined, extents: extents.slice(i, i + pieceExtents) };
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
    this.#bytes += lengthOf(item.extents);
    if (this.#bytes < batchBytes && this.#batch.length < batchItems) return;
    this.#start();
    await this.#underWay.fewerThan(this.#restoring.parallel);
  }

  async end(): Promise<void> {
    this.#start();
    await this.#underWay.allDone();
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

function lengthOf(extents: readonly Extent[]): number {
  let bytes = 0;
  for (const extent of extents) bytes += extent.lengthBytes;
  return bytes;
}
