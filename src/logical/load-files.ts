import {
  closeSync,
  createReadStream,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert, hasCode, PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { TarReader } from '../tar/tar-reader.ts';
import type { RoleMap } from './map-roles.ts';
import { mapArchiveRoles } from './toc-mapper.ts';
import { readDumpFile } from './read-dump.ts';

export interface WrittenFiles {
  readonly cluster: ClusterRepository;
  /** By the names that they get. */
  readonly files: ReadonlyMap<string, StoredEntry>;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  /** Other names for roles in the table of contents. */
  readonly map: RoleMap;
}

/** Writes files of a dump where pg_restore can seek in them. Throws `disk-full` before it begins where there is no room. */
export async function writeDumpFiles(written: WrittenFiles): Promise<void> {
  makeRoom(written);
  const { cluster, files, directory } = written;
  for (const [name, file] of files) {
    assert(isOurName(name), 'a file of a dump whose name is none of ours');
    using output = new OutputFile(join(directory, name));
    const stored = readDumpFile(cluster, file);
    const mapped = written.map.size > 0 && /^(?:toc\.dat|dump\.custom)$/.test(name);
    for await (const bytes of mapped ? mapArchiveRoles(stored, written.map) : stored) advance(written, bytes, output);
  }
}

/**
 * Writes the members of a tar archive as files: what a dump in the directory format would be, which several connections can
 * load. Throws `dump-contents` for what is no archive of pg_dump; as `writeDumpFiles` does.
 */
export async function writeTarMembers(written: WrittenFiles): Promise<void> {
  makeRoom(written);
  const { cluster, files, directory } = written;
  const [file] = files.values();
  assert(file, 'a tar archive is one file');
  const reader = new TarReader();
  let output: OutputFile | undefined;
  try {
    for await (const bytes of readDumpFile(cluster, file)) {
      for (const part of reader.push(bytes)) {
        if (part.kind === 'content') output?.write(part.bytes);
        else output?.[Symbol.dispose]();
        if (part.kind !== 'member') continue;
        const name = Buffer.from(part.header.name).toString();
        if (!isOurName(name) || part.header.kind !== 'file') throw notOfPgDump(`a member "${name}"`);
        // The script that it brings for people is not read by pg_restore.
        output = name === 'restore.sql' ? undefined : new OutputFile(join(directory, name));
        // In the table of contents of a tar archive the list of large objects has another name.
        const list = /^blobs_(\d+)\.toc$/.exec(name)?.[1];
        if (list !== undefined) linkSync(join(directory, name), join(directory, `${list}.dat`));
      }
      advance(written, bytes);
    }
    reader.finish();
    output?.[Symbol.dispose]();
    if (written.map.size > 0) await mapTocFile(join(directory, 'toc.dat'), written.map);
  } catch (error) {
    if (hasCode(error, 'decode')) throw notOfPgDump(error.message);
    throw error;
  } finally {
    output?.[Symbol.dispose]();
  }
}

async function mapTocFile(path: string, map: RoleMap): Promise<void> {
  const original = `${path}.original`;
  renameSync(path, original);
  using output = new OutputFile(path);
  const pieces = createReadStream(original) as AsyncIterable<Buffer>;
  for await (const bytes of mapArchiveRoles(pieces, map)) output.write(bytes);
  rmSync(original);
}

function advance({ signal, onProgress }: WrittenFiles, bytes: Uint8Array, output?: OutputFile): void {
  signal.throwIfAborted();
  output?.write(bytes);
  onProgress(bytes.length);
}

function makeRoom({ files, directory }: WrittenFiles): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const needed = [...files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize >= needed) return;
  throw new PgrecallError('disk-full', `"${directory}" has ${bavail * bsize} bytes free; the dump needs ${needed}`, {
    hint: 'set state_directory to a file system with more room, or load a custom or tar dump without --jobs, which needs none',
    details: { directory, freeBytes: bavail * bsize, neededBytes: needed },
  });
}

/** `toc.dat`, `3410.dat`, `blob_16449.dat`: never one that leads elsewhere. */
function isOurName(name: string): boolean {
  return /^\w[\w.-]*$/.test(name);
}

function notOfPgDump(what: string): PgrecallError {
  return new PgrecallError('dump-contents', `the dump is no tar archive of pg_dump: ${what}`);
}

class OutputFile {
  readonly #descriptor: number;
  #open = true;

  constructor(path: string) {
    this.#descriptor = openSync(path, 'wx', 0o600);
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += writeSync(this.#descriptor, bytes, at);
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.#descriptor);
    this.#open = false;
  }
}
