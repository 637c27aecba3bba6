import { lstatSync } from 'node:fs';
import { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { ManifestReader } from '../repository/manifest-reader.ts';
import { cleanDirectory, logDirectories, type Cleaned } from './clean-directory.ts';
import { requireNobodyThere } from './delta-target.ts';
import { placeNothing } from './place-entries.ts';
import type { Restoring } from './restore-items.ts';
import { beginOver, takeBackBegin, unfinishedName } from './unfinished-restore.ts';
import { writeFiles, type WrittenFiles } from './write-files.ts';

/*
 * A restore in place: over a directory that holds another state of the same cluster. Only what differs is written. In the
 * end the directory is what a restore to an empty one makes, but for logs of the server and copies of the configuration.
 *
 * From before the first change until all is durable there is no pg_control (unfinished-restore.ts): the directory never
 * starts half way, and a restore that was interrupted is begun again.
 */

/** What is there. */
export interface RestoreOver {
  /** The directory's own, as it was. */
  readonly control: ControlFile;
  /** A restore began there and did not come to its end. */
  readonly unfinished: boolean;
  /** Tablespaces that the backup has not, by number, with where they lie. */
  readonly superfluous: ReadonlyMap<number, string>;
}

/** What was written and what was removed, or would be. */
export type RestoreReport = WrittenFiles & Cleaned;

interface Place {
  readonly directory: string;
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly signal: AbortSignal;
}

/** What `placing` leaves as it is, of what is directly below the data directory. */
export function leftAloneIn(directory: string): ReadonlySet<string> {
  const logs = logDirectories.filter((name) => lstatSync(`${directory}/${name}`, { throwIfNoEntry: false }));
  return new Set([...logs, unfinishedName]);
}

/**
 * Makes the directory one that PostgreSQL does not start on, keeps its configuration, and removes what does not belong.
 * Throws `server-running`, `disk-full`, `io`.
 */
export async function beginRestoreOver(
  place: Place & { readonly over: RestoreOver; readonly manifest: ManifestReader },
): Promise<Cleaned> {
  const { directory, over } = place;
  beginOver(directory);
  try {
    // One that was started a moment ago is seen by now; one that starts later finds no pg_control.
    requireNobodyThere(directory);
  } catch (error) {
    if (!over.unfinished) takeBackBegin(directory);
    throw error;
  }
  return cleanDirectory({ ...place, ...over, versionDirectory: versionDirectory(over), only: false });
}

function versionDirectory({ control }: RestoreOver): string {
  return `PG_${control.postgresMajor}_${control.catalogVersion}`;
}

/** Compares a directory with a backup and writes nothing: what a restore in place would do. */
export async function compareDirectory(
  options: Place & {
    readonly cluster: ClusterRepository;
    readonly backup: BackupRecord;
    readonly over: RestoreOver;
    readonly restoring: Restoring;
    readonly owner: (user: string, group: string) => { readonly uid: number; readonly gid: number } | undefined;
    readonly onProgress: (bytes: number) => void;
  },
): Promise<RestoreReport> {
  const { cluster, backup, directory, over } = options;
  await using manifest = await cluster.openManifest(backup.id);
  const cleaned = await cleanDirectory({
    ...options,
    ...over,
    manifest,
    versionDirectory: versionDirectory(over),
    only: true,
  });
  const written = await writeFiles({
    ...options,
    manifest,
    placing: placeNothing,
    leftOut: new Set(),
    leftAlone: leftAloneIn(directory),
    backupManifest: new BackupManifestWriter({
      postgresMajor: backup.postgresMajor,
      systemIdentifier: systemIdentifier(backup.systemIdentifier),
    }),
    writeBackupManifest: () => undefined,
  });
  return { ...cleaned, ...written };
}
