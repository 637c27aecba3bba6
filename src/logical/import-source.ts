import { closeSync, fstatSync, globSync, openSync, read, readSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import { compressionOf, headBytes, type OuterCompression } from './import-format.ts';
import { firstParts, partsFrom, sortParts } from './import-parts.ts';

/** One file, in one part or in several, which are open. */
export interface ImportFile {
  /** For messages, and of a directory the name in it, without the ending of its compression. */
  readonly name: string;
  readonly parts: readonly { readonly path: string; readonly descriptor: number }[];
  /** As it lies there. */
  readonly sizeBytes: number;
  readonly compression: OuterCompression;
}

/** What is imported. Everything is open, so that it can be read as somebody else than who opened it. */
export type ImportSource = Disposable &
  (
    | { readonly kind: 'file'; readonly name: string; readonly file: ImportFile }
    | {
        readonly kind: 'directory';
        readonly name: string;
        readonly files: ReadonlyMap<string, ImportFile>;
      }
  );

/** `path` may be a file, the first part of several, a pattern of all parts, or a directory. Throws `usage`, `io`, `dump-contents`. */
export function openImportSource(path: string): ImportSource {
  const open: number[] = [];
  const dispose = (): void => {
    for (const descriptor of open.splice(0)) closeSync(descriptor);
  };
  try {
    if (isDirectory(path)) {
      const files = new Map(openDirectory(path, open).map((file) => [file.name, file]));
      return { kind: 'directory', name: basename(path), files, [Symbol.dispose]: dispose };
    }
    const file = openFile(basename(path), findParts(path), open);
    return { kind: 'file', name: basename(path), file, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    if (error instanceof PgrecallError) throw error;
    throw cannotRead(path, error);
  }
}

function cannotRead(path: string, error: unknown): PgrecallError {
  const tooMany = isErrno(error, 'EMFILE', 'ENFILE');
  return new PgrecallError('io', `"${path}" cannot be read`, {
    ...(tooMany ? { hint: 'it has more files than this process may open: raise the limit (ulimit -n)' } : {}),
    details: { path },
    cause: error,
  });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Throws `usage` where there is nothing, or a part is missing. */
function findParts(path: string): readonly string[] {
  if (statSync(path, { throwIfNoEntry: false })) {
    const { parts, missing } = partsFrom(basename(path), readdirSync(dirname(path)));
    if (missing === undefined) return parts.map((name) => join(dirname(path), name));
    throw new PgrecallError('dump-contents', `the part "${missing}" is missing, and later ones are there`, {
      hint: 'get it from where the others came from',
      details: { missing },
    });
  }
  if (/[*?]/.test(path)) {
    const found = globSync(path).filter((name) => !isDirectory(name));
    if (found.length > 0) return sortParts(found);
  }
  const first = firstParts.find((ending) => statSync(`${path}${ending}`, { throwIfNoEntry: false }));
  throw new PgrecallError('usage', `there is no file "${path}"`, {
    hint: first === undefined ? 'name a file of pg_dump, or a directory of its' : `did you mean "${path}${first}"?`,
    details: { path },
  });
}

function openFile(name: string, paths: readonly string[], open: number[]): ImportFile {
  const parts = paths.map((path) => {
    const descriptor = openSync(path, 'r');
    open.push(descriptor);
    return { path, descriptor };
  });
  const head = Buffer.alloc(headBytes);
  const length = parts[0] ? readSync(parts[0].descriptor, head, 0, headBytes, 0) : 0;
  const compression = compressionOf(head.subarray(0, length));
  if (compression !== 'none' && compression !== 'gzip' && compression !== 'zstd') {
    throw new PgrecallError('dump-contents', `"${name}" is compressed by ${compression}, which pgrecall cannot read`, {
      hint: 'decompress it first',
      details: { compression },
    });
  }
  const sizeBytes = parts.reduce((sum, { descriptor }) => sum + fstatSync(descriptor).size, 0);
  return { name, parts, sizeBytes, compression };
}

const rowEndings = /\.dat\.(?:gz|zst)$/;

/** Files of rows by the names that pg_dump gives them before it compresses them; those of lz4 as they are. */
function openDirectory(path: string, open: number[]): ImportFile[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => {
      // Of others the content decides nothing: a large object may be anything.
      if (!rowEndings.test(name)) return { ...openRaw(join(path, name), open), name };
      return { ...openFile(name, [join(path, name)], open), name: name.replace(/\.(?:gz|zst)$/, '') };
    });
}

function openRaw(path: string, open: number[]): Omit<ImportFile, 'name'> {
  const descriptor = openSync(path, 'r');
  open.push(descriptor);
  return { parts: [{ path, descriptor }], sizeBytes: fstatSync(descriptor).size, compression: 'none' };
}

const readBytes = 1_048_576;

/** From its first byte to its last, decompressed. Throws `dump-contents` where that cannot be done; `io`. */
export async function* readImportFile(file: ImportFile, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  const raw = readParts(file, onRead);
  if (file.compression === 'none') {
    yield* raw;
    return;
  }
  const engine =
    file.compression === 'gzip'
      ? createGunzip({ chunkSize: readBytes })
      : createZstdDecompress({ chunkSize: readBytes });
  let fed = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const bytes of raw) {
      fed += bytes.length;
      yield bytes;
    }
  };
  const feeding = pipeline(Readable.from(counted()), engine);
  feeding.catch(() => undefined);
  try {
    for await (const bytes of engine) yield bytes as Buffer;
  } catch (error) {
    if (error instanceof PgrecallError) throw error;
    const isCut = isErrno(error, 'Z_BUF_ERROR');
    throw new PgrecallError(
      'dump-contents',
      isCut
        ? `"${file.name}" is cut off: its ${file.compression} stream has no end`
        : `"${file.name}" cannot be decompressed`,
      { cause: error },
    );
  }
  // Only zlib's own formats are read on behind their end.
  if (engine.bytesWritten >= fed) return;
  throw new PgrecallError('dump-contents', `"${file.name}" goes on behind the end of its ${file.compression} stream`, {
    hint: 'decompress it first (zstd -d), and import what comes of it',
  });
}

async function* readParts(file: ImportFile, onRead: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for (const { path, descriptor } of file.parts) {
    try {
      for (let at = 0; ;) {
        // One that is handed on is not written to again.
        const buffer = Buffer.allocUnsafe(readBytes);
        const length = await readAt(descriptor, buffer, at);
        if (length === 0) break;
        at += length;
        onRead(length);
        yield buffer.subarray(0, length);
      }
    } catch (error) {
      throw error instanceof PgrecallError ? error : cannotRead(path, error);
    }
  }
}

async function readAt(descriptor: number, buffer: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, buffer, 0, buffer.length, position, (error, length) => {
      if (error) reject(error);
      else resolve(length);
    });
  });
}
