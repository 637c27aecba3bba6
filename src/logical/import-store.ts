import { closeSync, write as writeDescriptor } from 'node:fs';
import { assert } from '../errors/pgrecall-error.ts';
import type { ChunkClass } from './chunk-cutter.ts';
import { checkOf } from './import-check.ts';
import type { ContentCheck, ImportedFacts } from './import-contents.ts';
import { FilesCheck } from './import-files-check.ts';
import type { ContentKind } from './import-format.ts';
import { readImportFile, type ImportFile } from './import-source.ts';
import { openPumpedPipe } from './open-pipe.ts';
import type { StoredStream, Storing } from './store-items.ts';

/* Files on their way into the repository, looked at as they pass. */

export interface ImportStoring {
  readonly storing: Storing;
  readonly chunkClass: ChunkClass;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
  readonly say: (text: string) => void;
}

/** Throws `dump-contents`, `io`, and what the storage throws. */
export async function storeImportFile(
  importing: ImportStoring,
  kind: ContentKind,
  file: ImportFile,
): Promise<{ readonly stored: StoredStream; readonly facts: ImportedFacts }> {
  const check = checkOf(kind);
  let facts: ImportedFacts | undefined;
  const end = async (): Promise<void> => void (facts = await check.end());
  const stored = await storeStream(importing, file, { push: async (bytes) => check.push(bytes), end });
  assert(facts, 'a file that was not looked at');
  return { stored, facts };
}

/** The files of a directory, by their names in it, those of rows without the ending of what had compressed them. Throws alike. */
export async function storeImportDirectory(
  importing: ImportStoring,
  source: ReadonlyMap<string, ImportFile>,
): Promise<{ readonly files: ReadonlyMap<string, StoredStream>; readonly facts: ImportedFacts }> {
  const check = new FilesCheck();
  const files = new Map<string, StoredStream>();
  const others = [...source.keys()].filter((name) => name !== 'toc.dat').toSorted();
  for (const name of ['toc.dat', ...others]) {
    const file = source.get(name);
    assert(file, 'a directory without toc.dat');
    const isLz4 = name.endsWith('.lz4');
    const own = isLz4 ? name.slice(0, -'.lz4'.length) : name;
    if (!check.isKnown(own)) {
      importing.say(`"${name}" is no file of pg_dump's, and is left out`);
      continue;
    }
    check.beginFile(own, isLz4);
    const stream = { push: async (bytes: Uint8Array) => check.push(bytes), end: async () => check.endFile() };
    files.set(name, await storeStream(importing, file, stream));
  }
  return { files, facts: await check.finish() };
}

interface StreamCheck extends Pick<ContentCheck, 'push'> {
  readonly end: () => Promise<void>;
}

/** Those of most tables: a pipe and a thread for each would take longer than what they have. */
const smallBytes = 1_048_576;

async function storeStream(importing: ImportStoring, file: ImportFile, check: StreamCheck): Promise<StoredStream> {
  if (file.compression === 'none' && file.sizeBytes <= smallBytes) return storeSmall(importing, file, check);
  const { storing, chunkClass } = importing;
  const pipe = openPumpedPipe();
  let disposing: Promise<void> | undefined;
  const dispose = async (): Promise<void> => {
    disposing ??= Promise.resolve(pipe[Symbol.asyncDispose]());
    await disposing;
  };
  const storingIt = storing
    .store({ source: { pump: pipe.memory }, chunkClass })
    // Who writes into a pipe that nobody reads waits for ever; into one that is closed, no longer.
    .catch(async (error: unknown) => {
      await dispose();
      throw error;
    });
  const feeding = feed(importing, file, { check, descriptor: pipe.writer });
  const [stored, fed] = await Promise.allSettled([storingIt, feeding]);
  await dispose();
  if (stored.status === 'rejected') throw stored.reason;
  if (fed.status === 'rejected') throw fed.reason;
  return stored.value;
}

interface Feed {
  readonly check: StreamCheck;
  /** Closed here. */
  readonly descriptor: number;
}

async function feed(importing: ImportStoring, file: ImportFile, { check, descriptor }: Feed): Promise<void> {
  const { signal, onProgress } = importing;
  try {
    for await (const bytes of readImportFile(file, onProgress)) {
      signal.throwIfAborted();
      await check.push(bytes);
      for (let at = 0; at < bytes.length;) at += await writeSome(descriptor, bytes.subarray(at));
    }
    await check.end();
  } finally {
    closeSync(descriptor);
  }
}

async function writeSome(descriptor: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    writeDescriptor(descriptor, bytes, 0, bytes.length, null, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}

async function storeSmall(importing: ImportStoring, file: ImportFile, check: StreamCheck): Promise<StoredStream> {
  const parts: Uint8Array[] = [];
  for await (const bytes of readImportFile(file, importing.onProgress)) {
    importing.signal.throwIfAborted();
    await check.push(bytes);
    parts.push(bytes);
  }
  await check.end();
  return importing.storing.store({ source: { bytes: Buffer.concat(parts) }, chunkClass: importing.chunkClass });
}
