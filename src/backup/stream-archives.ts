import { PgrecallError } from '../errors/pgrecall-error.ts';
import { ruleFor } from '../postgres/data-directory-rules.ts';
import { incrementalPrefix } from '../postgres/incremental-file.ts';
import { parseRelationPath } from '../postgres/relation-file.ts';
import { parseTablespaceMap } from '../postgres/tablespace-map.ts';
import type { ManifestEntry } from '../repository/manifest.ts';
import { pathProblem } from '../repository/manifest-path.ts';
import { decodePath, encodePath } from '../repository/path-text.ts';
import type { TarHeader } from '../tar/tar-header.ts';
import { TarReader } from '../tar/tar-reader.ts';
import type { EntryShelf } from './entry-shelf.ts';
import type { ReceivedFiles } from './received-files.ts';

/*
 * The archives of a base backup: one for each tablespace, then that of the data directory. What a server sends of it is what the
 * rules of a hot backup keep, with backup_label, tablespace_map and pg_control as members, and with signal files of a recovery, which
 * are left out.
 */

/** What is no file of a backup, but belongs to it. */
const documents = new Set(['backup_label', 'tablespace_map', 'global/pg_control']);
const mostDocumentBytes = 16_777_216;

export interface StreamArchivesOptions {
  readonly files: ReceivedFiles;
  readonly shelf: EntryShelf;
  /** Whether members may be increments. */
  readonly incremental: boolean;
  readonly directoryMode: number;
  readonly startedAt: Date;
}

type Member = { readonly kind: 'file' | 'left-out' } | { readonly kind: 'document'; readonly path: string };

export class StreamArchives {
  readonly #options: StreamArchivesOptions;
  readonly #documents = new Map<string, Uint8Array>();
  #reader: TarReader | undefined;
  #prefix = '';
  #member: Member = { kind: 'left-out' };
  #owner: Pick<ManifestEntry, 'owner' | 'group'> = { owner: 'postgres', group: 'postgres' };

  constructor(options: StreamArchivesOptions) {
    this.#options = options;
  }

  /** The archive of a tablespace begins, or that of the data directory. */
  begin(tablespaceOid: number | undefined): void {
    this.#reader?.finish();
    this.#reader = new TarReader();
    this.#prefix = tablespaceOid === undefined ? '' : `pg_tblspc/${tablespaceOid}/`;
  }

  async data(bytes: Uint8Array): Promise<void> {
    if (!this.#reader) throw new PgrecallError('decode', 'the server sent data that belong to no archive');
    for (const part of this.#reader.push(bytes)) {
      if (part.kind === 'member') this.#member = await this.#begin(part.header);
      else if (part.kind === 'end') await this.#end();
      else await this.#content(part.bytes);
    }
  }

  /** When all archives have come: the data directory itself, and the links of tablespaces. */
  finish(): { readonly tablespaceLinks: readonly { readonly oid: number; readonly path: string }[] } {
    this.#reader?.finish();
    this.#reader = undefined;
    this.#add('', 'directory', this.#options.directoryMode, this.#options.startedAt.getTime());
    const map = this.#documents.get('tablespace_map');
    const links = map ? parseTablespaceMap(Buffer.from(map).toString('utf8')) : [];
    for (const { oid, path } of links) {
      this.#add(`pg_tblspc/${oid}`, 'symlink', 0o777, this.#options.startedAt.getTime(), path);
    }
    return { tablespaceLinks: links };
  }

  /** `backup_label`, `tablespace_map` or `global/pg_control`. */
  document(path: string): Uint8Array | undefined {
    return this.#documents.get(path);
  }

  async #begin(header: TarHeader): Promise<Member> {
    const sent = this.#prefix + decodePath(header.name).replace(/^\.\//, '');
    const problem = pathProblem(encodePath(sent));
    if (problem !== undefined) throw new PgrecallError('decode', `the server sent ${problem}: "${sent}"`);
    const { kind } = header;
    if (kind !== 'file' && kind !== 'directory') {
      throw new PgrecallError('decode', `the server sent "${sent}" as what is neither a file nor a directory`);
    }
    if (kind === 'file' && documents.has(sent)) {
      if (header.sizeBytes > mostDocumentBytes)
        throw new PgrecallError('decode', `"${sent}" of ${header.sizeBytes} bytes`);
      this.#documents.set(sent, new Uint8Array(0));
      return { kind: 'document', path: sent };
    }
    const whole = this.#options.incremental ? wholePath(sent) : undefined;
    const path = whole ?? sent;
    if (ruleFor(path, kind) === 'leave-out') return { kind: 'left-out' };
    this.#owner = { owner: header.user || String(header.uid), group: header.group || String(header.gid) };
    const modifiedMs = header.modifiedAt * 1000;
    const mode = header.mode & 0o7777;
    if (kind === 'directory') {
      this.#add(path, 'directory', mode, modifiedMs);
      return { kind: 'left-out' };
    }
    const { sizeBytes, uid, gid } = header;
    const entry = { kind, path, absolutePath: path, sizeBytes, modifiedMs, mode, uid, gid } as const;
    await this.#options.files.begin({ entry, ...this.#owner, incremental: whole !== undefined, sizeBytes });
    return { kind: 'file' };
  }

  async #content(bytes: Uint8Array): Promise<void> {
    const member = this.#member;
    if (member.kind === 'file') await this.#options.files.content(bytes);
    if (member.kind !== 'document') return;
    const before = this.#documents.get(member.path) ?? new Uint8Array(0);
    this.#documents.set(member.path, Buffer.concat([before, bytes]));
  }

  async #end(): Promise<void> {
    if (this.#member.kind === 'file') await this.#options.files.end();
    this.#member = { kind: 'left-out' };
  }

  #add(path: string, kind: 'directory' | 'symlink', mode: number, modifiedMs: number, target?: string): void {
    const nothing = { sizeBytes: 0, crc32c: 0, extents: [], sums: [], flags: 0 };
    const link = target === undefined ? {} : { target };
    this.#options.shelf.add({ path, kind, mode, ...this.#owner, modifiedMs, ...nothing, ...link }, nothing);
  }
}

/** The file that `…/INCREMENTAL.16384` is an increment to; `undefined` for what is none. */
export function wholePath(path: string): string | undefined {
  const at = path.lastIndexOf('/') + 1;
  if (!path.startsWith(incrementalPrefix, at)) return undefined;
  const whole = path.slice(0, at) + path.slice(at + incrementalPrefix.length);
  return parseRelationPath(whole) ? whole : undefined;
}
