import { closeSync, existsSync, fchownSync, mkdirSync, openSync, readFileSync, symlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BaseBackupStream } from '../connection/base-backup-stream.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { ruleFor } from '../postgres/data-directory-rules.ts';
import { pathProblem } from '../repository/manifest-path.ts';
import { decodePath, encodePath, fileSystemPath } from '../repository/path-text.ts';
import { giveTo, syncTrees, writeDurably, type Owner } from '../restore/durable.ts';
import { withRecoverySettings } from '../restore/recovery-settings.ts';
import { makePrivateDirectory } from '../restore/target-directory.ts';
import { beginNew, endRestore } from '../restore/unfinished-restore.ts';
import { writing } from '../restore/write-error.ts';
import type { TarHeader } from '../tar/tar-header.ts';
import { TarReader } from '../tar/tar-reader.ts';

/*
 * A base backup as it comes, as the data directory of a standby. pg_control, which comes last, is put in place when all else
 * is durable: up to then PostgreSQL does not start there. The links of tablespaces are made here, to where they are wanted, so
 * that tablespace_map is left out. WAL is none in it: the standby streams it, from its slot, which was made before.
 */

export interface WriteBaseBackup {
  readonly directory: string;
  /** Where each goes, by its oid. */
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly settings: Readonly<Record<string, string>>;
  readonly script: { readonly path: string; readonly text: string };
  readonly owner: Owner | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

const controlFile = 'global/pg_control';

/** Throws `page-checksum` where the server found pages that are damaged; `disk-full`, `io`, `decode`, `connection`. */
export async function writeBaseBackup(stream: BaseBackupStream, options: WriteBaseBackup): Promise<void> {
  const { directory, tablespaces, owner, signal } = options;
  for (const place of [directory, ...tablespaces.values()]) makePrivateDirectory(place);
  giveTo(owner, [directory, ...tablespaces.values()]);
  beginNew(directory, new Uint8Array(0), owner);
  using writer = new ArchiveWriter(options);
  for await (const part of stream.parts(signal)) {
    if (part.kind === 'archive') writer.begin(part.tablespaceOid);
    else if (part.kind === 'manifest') writer.beginManifest();
    else writer.data(part.bytes);
  }
  const control = writer.finish();
  if (stream.ended.wrongChecksums) {
    throw new PgrecallError('page-checksum', 'the server found pages with wrong checksums while it was copied', {
      hint: 'its log names them; make the standby from a backup that verifies',
    });
  }
  for (const [oid, place] of tablespaces) {
    const link = join(directory, 'pg_tblspc', String(oid));
    writing(link, () => symlinkSync(place, link));
  }
  writeStandbyFiles(options);
  await syncTrees([directory, ...tablespaces.values()]);
  endRestore(directory, control, owner);
}

function writeStandbyFiles({ directory, settings, script, owner }: WriteBaseBackup): void {
  writing(script.path, () => mkdirSync(dirname(script.path), { recursive: true, mode: 0o700 }));
  giveTo(owner, [dirname(script.path)]);
  writeDurably(script.path, script.text, { mode: 0o700, owner });
  const auto = join(directory, 'postgresql.auto.conf');
  const previous = existsSync(auto) ? readFileSync(auto, 'utf8') : '';
  const recovery = { recovery: undefined, restoreCommand: '', more: settings };
  writeDurably(auto, withRecoverySettings(previous, recovery), { owner });
  writeDurably(join(directory, 'standby.signal'), '', { owner });
}

/** Writes members of tar archives below the data directory and the places of tablespaces. */
class ArchiveWriter {
  readonly #options: WriteBaseBackup;
  #root: string;
  #prefix = '';
  #reader: TarReader | undefined;
  #descriptor: number | undefined;
  #control: Buffer[] | undefined;
  #inControl = false;

  constructor(options: WriteBaseBackup) {
    this.#options = options;
    this.#root = options.directory;
  }

  begin(oid: number | undefined): void {
    this.#reader?.finish();
    this.#reader = new TarReader();
    const { directory, tablespaces } = this.#options;
    const root = oid === undefined ? directory : tablespaces.get(oid);
    if (root === undefined)
      throw new PgrecallError('decode', `the server sent tablespace ${oid}, which it did not announce`);
    this.#root = root;
    this.#prefix = oid === undefined ? '' : `pg_tblspc/${oid}/`;
  }

  beginManifest(): void {
    this.#reader?.finish();
    this.#reader = undefined;
    this.#open(join(this.#options.directory, 'backup_manifest'), 0o600);
  }

  data(bytes: Uint8Array): void {
    this.#options.onProgress(bytes.length);
    if (!this.#reader) return this.#write(bytes);
    for (const part of this.#reader.push(bytes)) {
      if (part.kind === 'member') this.#member(part.header);
      else if (part.kind === 'content') this.#content(part.bytes);
      else this.#end();
    }
  }

  /** Its pg_control. */
  finish(): Buffer {
    this.#end();
    if (!this.#control) throw new PgrecallError('decode', 'the server sent no pg_control');
    return Buffer.concat(this.#control);
  }

  #member({ kind, name, mode }: TarHeader): void {
    const sent = decodePath(name).replace(/^\.\//, '');
    const problem = pathProblem(encodePath(sent));
    if (problem !== undefined) throw new PgrecallError('decode', `the server sent ${problem}: "${sent}"`);
    if (kind !== 'file' && kind !== 'directory') {
      throw new PgrecallError('decode', `the server sent "${sent}" as what is neither a file nor a directory`);
    }
    const path = this.#prefix + sent;
    if (path === controlFile) {
      this.#control = [];
      this.#inControl = true;
      return;
    }
    if (path !== 'backup_label' && ruleFor(path, kind) === 'leave-out') return;
    const target = fileSystemPath(`${this.#root}/${sent}`);
    if (kind === 'file') return this.#open(target, mode & 0o777);
    writing(sent, () => mkdirSync(target, { recursive: true, mode: mode & 0o777 }));
    const { owner } = this.#options;
    if (owner) giveTo(owner, [String(target)]);
  }

  #open(path: string | Buffer, mode: number): void {
    const { owner } = this.#options;
    writing(String(path), () => {
      this.#descriptor = openSync(path, 'wx', mode);
      if (owner) fchownSync(this.#descriptor, owner.uid, owner.gid);
    });
  }

  #content(bytes: Uint8Array): void {
    // A view of what the next message overwrites.
    if (this.#inControl) this.#control?.push(Buffer.from(bytes));
    else this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    writing(this.#root, () => {
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
    });
  }

  #end(): void {
    this.#inControl = false;
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}
