import { mkdirSync, openSync, closeSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { assert, PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import { readDumpFile } from './read-dump.ts';

export interface WrittenFiles {
  readonly cluster: ClusterRepository;
  /** By the names that they get. */
  readonly files: ReadonlyMap<string, StoredEntry>;
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** Writes files of a dump where pg_restore can seek in them. Throws `disk-full` before it begins where there is no room. */
export async function writeDumpFiles({ cluster, files, directory, signal, onProgress }: WrittenFiles): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const needed = [...files.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize < needed) {
    throw new PgrecallError('disk-full', `"${directory}" has ${bavail * bsize} bytes free; the dump needs ${needed}`, {
      hint: 'set state_directory to a file system with more room, or load a custom dump without --jobs, which needs none',
      details: { directory, freeBytes: bavail * bsize, neededBytes: needed },
    });
  }
  for (const [name, file] of files) {
    assert(/^[\w.-]+$/.test(name), 'a file of a dump whose name is none of ours');
    const descriptor = openSync(join(directory, name), 'wx', 0o600);
    try {
      for await (const bytes of readDumpFile(cluster, file)) {
        signal.throwIfAborted();
        for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
        onProgress(bytes.length);
      }
    } finally {
      closeSync(descriptor);
    }
  }
}
