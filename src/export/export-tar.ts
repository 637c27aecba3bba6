import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c } from '../bytes/crc32c.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import { timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';
import { readBackupWal, type BackupWalStore } from '../restore/backup-wal.ts';
import { TextFile } from '../restore/durable.ts';
import { formatGmt } from '../restore/write-files.ts';
import type { TarMember } from '../tar/tar-header.ts';
import { compressed, type ByteOutput, type ExportCompression } from './byte-output.ts';
import { readOutsideMembers } from './outside-members.ts';
import { TarArchive } from './tar-archive.ts';

/*
 * A backup as tar archives, laid out as pg_basebackup -Ft -X fetch does: base.tar is the data directory, with the WAL that
 * makes it consistent and pg_control last; each tablespace is <oid>.tar, relative to its own directory, and tablespace_map
 * says where it lies. Unpacked, it starts without pgrecall and without the repository. backup_manifest lies beside; where
 * all goes to one stream, it is the last file but pg_control.
 */

export interface ExportTarOptions {
  readonly cluster: ClusterRepository;
  readonly store: BackupWalStore;
  readonly record: BackupRecord;
  readonly segmentBytes: number;
  /** Opens what `base`, `16384`, … is written to, before compression. */
  readonly open: (name: string) => ByteOutput;
  /** Where backup_manifest goes; into the archive unless given. */
  readonly manifestFile?: string;
  readonly compression: ExportCompression;
  /** Numbers for names. */
  readonly owner: (user: string, group: string) => { readonly uid: number; readonly gid: number };
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

export interface ExportedTar {
  readonly files: number;
  readonly archives: number;
}

/** Throws what reading the repository throws, `wal-gap`, `disk-full`, `io`. What was written is removed then. */
export async function exportTar(options: ExportTarOptions): Promise<ExportedTar> {
  const place = options.manifestFile === undefined ? mkdtempSync(join(tmpdir(), 'pgrecall-export-')) : undefined;
  const manifestPath = options.manifestFile ?? join(place ?? '', 'backup_manifest');
  await using manifest = await options.cluster.openManifest(options.record.id);
  const exporting = new Exporting(options, manifest, manifestPath);
  try {
    return await exporting.run();
  } catch (error) {
    await exporting.abort();
    throw error;
  } finally {
    await exporting.close();
    if (place !== undefined) rmSync(place, { recursive: true, force: true });
  }
}

class Exporting {
  readonly #options: ExportTarOptions;
  readonly #manifest: ManifestReader;
  readonly #manifestPath: string;
  readonly #manifestText: TextFile;
  readonly #backupManifest: BackupManifestWriter;
  readonly #reader: ExtentReader;
  readonly #archives: TarArchive[] = [];
  /** That of the tablespace whose entries come now. */
  #tablespace: { readonly prefix: string; readonly archive: TarArchive } | undefined;
  /** Names directly in the data directory, and one below: what configuration from outside must not replace. */
  readonly #present = new Set<string>();
  /** For what has no entry of its own. */
  #usual: Pick<TarMember, 'uid' | 'gid' | 'user' | 'group' | 'modifiedAt'>;
  #files = 0;

  constructor(options: ExportTarOptions, manifest: ManifestReader, manifestPath: string) {
    const { record, cluster } = options;
    this.#options = options;
    this.#manifest = manifest;
    this.#manifestPath = manifestPath;
    this.#manifestText = new TextFile(manifestPath);
    this.#backupManifest = new BackupManifestWriter({
      postgresMajor: record.postgresMajor,
      systemIdentifier: systemIdentifier(record.systemIdentifier),
    });
    this.#reader = new ExtentReader(cluster, { givesBack: true });
    this.#usual = { ...options.owner('', ''), user: '', group: '', modifiedAt: Date.parse(record.stoppedAt) / 1000 };
  }

  async run(): Promise<ExportedTar> {
    const base = this.#open('base');
    const entries = this.#manifest.entries()[Symbol.asyncIterator]();
    for (let next = await entries.next(); next.done !== true; next = await entries.next()) {
      this.#options.signal.throwIfAborted();
      const entry = next.value;
      if (entry.path === '') {
        this.#usual = this.#attributesOf(entry);
        await this.#addDocuments(base);
      } else {
        await this.#addEntry(entry, base);
      }
    }
    await this.#endTablespace();
    await this.#addOutside(base);
    await this.#addWal(base);
    const control = await this.#required('pg_control');
    this.#describe('global/pg_control', control);
    await this.#endManifest(base);
    await base.add({ ...this.#usual, name: Buffer.from('global/pg_control'), mode: 0o600 }, control);
    await base.finish();
    return { files: this.#files, archives: this.#archives.length };
  }

  async abort(): Promise<void> {
    for (const archive of this.#archives) await archive.abort();
    this.#manifestText[Symbol.dispose]();
    rmSync(this.#manifestPath, { force: true });
  }

  async close(): Promise<void> {
    this.#manifestText[Symbol.dispose]();
    await this.#reader.close();
  }

  #open(name: string): TarArchive {
    const { open, compression } = this.#options;
    const archive = new TarArchive(compressed(open(name), compression));
    this.#archives.push(archive);
    return archive;
  }

  /** What a server looks for first. A cold backup has neither, and its links are those in pg_tblspc. */
  async #addDocuments(base: TarArchive): Promise<void> {
    if (this.#options.record.temperature === 'cold') return;
    const label = await this.#required('backup_label');
    const map = await this.#manifest.attachment('tablespace_map');
    await this.#addFile(base, 'backup_label', label);
    if (map && map.length > 0) await this.#addFile(base, 'tablespace_map', map);
  }

  async #addEntry(entry: StoredEntry, base: TarArchive): Promise<void> {
    const { path } = entry;
    if (this.#tablespace && !path.startsWith(this.#tablespace.prefix)) await this.#endTablespace();
    const { prefix = '', archive = base } = this.#tablespace ?? {};
    await archive.begin({
      ...this.#attributesOf(entry),
      kind: entry.kind,
      name: encodePath(path.slice(prefix.length)),
      mode: entry.kind === 'file' ? entry.mode & 0o777 : entry.mode,
      sizeBytes: entry.sizeBytes,
      ...(entry.target === undefined ? {} : { target: encodePath(entry.target) }),
    });
    if (entry.kind === 'symlink')
      this.#tablespace = { prefix: `${path}/`, archive: this.#open(path.slice(path.indexOf('/') + 1)) };
    if (path.split('/').length <= 2) this.#present.add(path);
    if (entry.kind !== 'file') return;
    this.#files += 1;
    this.#describeEntry(entry);
    await this.#copyContent(entry, archive);
  }

  async #copyContent(entry: StoredEntry, archive: TarArchive): Promise<void> {
    const { extents } = entry.maps ?? (await entry.loadMaps());
    for await (const piece of this.#reader.pieces(extents, extentsAtOnce)) {
      this.#options.signal.throwIfAborted();
      await archive.write(piece);
      this.#options.onProgress(piece.length);
    }
  }

  async #endTablespace(): Promise<void> {
    await this.#tablespace?.archive.finish();
    this.#tablespace = undefined;
  }

  async #addOutside(base: TarArchive): Promise<void> {
    const { files, directories } = await readOutsideMembers(this.#manifest, this.#present);
    for (const name of directories) {
      await base.begin({ ...this.#usual, kind: 'directory', name: Buffer.from(name), mode: 0o700, sizeBytes: 0 });
    }
    for (const { name, bytes } of files) await this.#addFile(base, name, bytes);
  }

  async #addWal(base: TarArchive): Promise<void> {
    const { store, record, segmentBytes, signal } = this.#options;
    for await (const { name, bytes, whole } of readBackupWal(store, record, segmentBytes)) {
      signal.throwIfAborted();
      await base.add({ ...this.#usual, name: Buffer.from(`pg_wal/${name}`), mode: 0o600 }, bytes);
      if (!whole) continue;
      const done = Buffer.from(`pg_wal/archive_status/${name}.done`);
      await base.add({ ...this.#usual, name: done, mode: 0o600 }, new Uint8Array(0));
    }
  }

  async #endManifest(base: TarArchive): Promise<void> {
    const { record, manifestFile } = this.#options;
    const range = {
      timeline: timeline(record.timeline),
      startLsn: parseLsn(record.startLsn),
      endLsn: parseLsn(record.endLsn),
    };
    this.#manifestText.write(this.#backupManifest.finish([range]));
    this.#manifestText.finish();
    if (manifestFile !== undefined) return;
    const sizeBytes = statSync(this.#manifestPath).size;
    await base.begin({ ...this.#usual, kind: 'file', name: Buffer.from('backup_manifest'), mode: 0o600, sizeBytes });
    await base.write(readFileSync(this.#manifestPath));
  }

  async #addFile(archive: TarArchive, name: string, bytes: Uint8Array): Promise<void> {
    await archive.add({ ...this.#usual, name: Buffer.from(name), mode: 0o600 }, bytes);
    this.#describe(name, bytes);
  }

  #describe(path: string, bytes: Uint8Array): void {
    this.#files += 1;
    const lastModified = formatGmt(Date.parse(this.#options.record.stoppedAt));
    const file = { path, sizeBytes: bytes.length, lastModified, crc32c: crc32c(bytes) };
    this.#manifestText.write(this.#backupManifest.addFile(file));
  }

  #describeEntry({ path, sizeBytes, crc32c: crc, modifiedMs }: StoredEntry): void {
    const name = path.isWellFormed() ? path : encodePath(path);
    const file = { path: name, sizeBytes, lastModified: formatGmt(modifiedMs), crc32c: crc };
    this.#manifestText.write(this.#backupManifest.addFile(file));
  }

  #attributesOf({
    owner,
    group,
    modifiedMs,
  }: StoredEntry): Pick<TarMember, 'uid' | 'gid' | 'user' | 'group' | 'modifiedAt'> {
    const isNumber = (name: string): boolean => /^\d+$/.test(name);
    return {
      ...this.#options.owner(owner, group),
      user: isNumber(owner) ? '' : owner,
      group: isNumber(group) ? '' : group,
      modifiedAt: modifiedMs / 1000,
    };
  }

  async #required(name: string): Promise<Uint8Array> {
    const bytes = await this.#manifest.attachment(name);
    if (bytes) return bytes;
    const { id } = this.#options.record;
    throw new PgrecallError('object-damaged', `the manifest of ${id} has no ${name}`, {
      details: { backup: id, name },
    });
  }
}

/** 8 MiB of chunks. */
const extentsAtOnce = 32;
