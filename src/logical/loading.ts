import { libpqEnvironment } from '../connection/libpq-environment.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpedDatabase, DumpFormat } from '../repository/dump-facts.ts';
import type { StoredEntry } from '../repository/manifest.ts';
import type { ClientPrograms } from '../server/client-programs.ts';
import type { ClientEnding } from './client-process.ts';
import { feedClient } from './feed-client.ts';
import type { MappedRights } from './load-arguments.ts';
import type { LoadEntry } from './load-entry.ts';
import type { LoadTarget, LoadTargetRequest } from './load-target.ts';
import { mapArchiveRoles } from './toc-mapper.ts';
import { readDumpFile } from './read-dump.ts';

/* What loading a script and loading an archive have in common. */

export type ArchiveFormat = Exclude<DumpFormat, 'plain'>;

export interface LoadOptions {
  readonly cluster: ClusterRepository;
  readonly record: BackupRecord;
  readonly format: DumpFormat;
  readonly source: DumpedDatabase;
  readonly request: LoadTargetRequest;
  readonly target: LoadTarget;
  readonly programs: ClientPrograms;
  readonly jobs: number;
  /** Those of the table of contents that are wanted; everything where it is not said. */
  readonly entries?: readonly LoadEntry[];
  readonly rights: MappedRights;
  /** More of pg_restore's own options. */
  readonly options: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stateDirectory: string;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  /** How many bytes will be read. */
  readonly onTotal: (bytes: number) => void;
  readonly onProgress: (bytes: number) => void;
  /** How many objects have been made or filled, and which is now. */
  readonly onObject: (done: number, what: string) => void;
  readonly say: (text: string) => void;
}

/** A file of the dump, as it is fed to a program. */
export async function* countedBytes(
  { cluster, onProgress, rights, format }: LoadOptions,
  file: StoredEntry,
): AsyncGenerator<Uint8Array> {
  const stored = readDumpFile(cluster, file);
  const mapped = rights.map.size > 0 && format === 'custom';
  for await (const bytes of mapped ? mapArchiveRoles(stored, rights.map) : stored) {
    yield bytes;
    onProgress(bytes.length);
  }
}

export interface Loader {
  readonly program: string;
  readonly words: readonly string[];
  readonly onLine: (line: string) => void;
  readonly isPassing?: (line: string) => boolean;
  readonly feed?: AsyncIterable<Uint8Array>;
}

/** Runs psql or pg_restore against the target. Throws what `feedClient` throws. */
export async function runLoader(
  { request, target, env }: Pick<LoadOptions, 'request' | 'target' | 'env'>,
  { program, words, ...told }: Loader,
): Promise<ClientEnding> {
  const environment = libpqEnvironment(request.connection, {
    env,
    applicationName: 'pgrecall load',
    database: target.database,
  });
  return feedClient({ program, arguments: words, env: environment }, { signal: request.signal, ...told });
}
