import type { SourceCluster } from '../source/source-cluster.ts';

/** Where one contender works. */
export interface Site {
  /** Its own, for configuration, logs and so on. */
  readonly directory: string;
  /** Where it stores backups and WAL, and nothing else; there, and empty. */
  readonly repository: string;
  readonly source: SourceCluster;
  /** Processes or threads. */
  readonly jobs: number;
  /** For its commands. */
  readonly env: NodeJS.ProcessEnv;
}

/** Something that an administrator could use to back up PostgreSQL. Commands are for /bin/sh. */
export interface Contender {
  readonly name: string;
  /** How it is configured, in a few words. */
  readonly what: string;
  /** Prints its version, on the first line. */
  readonly versionCommand: string;
  /** Absent where every version can do what it is configured for. */
  readonly isPossible?: (version: string) => boolean;
  /** Not timed; ends with the source archiving through it, where a backup needs that. */
  setUp(site: Site): Promise<void>;
  /** Takes a full backup. */
  backup(site: Site): string;
  /** Restores the newest one into a directory that is there, empty. */
  restore(site: Site, target: string): string;
  /** Absent where it can take nothing but full backups. */
  readonly increments?: {
    /** Takes one: what has changed since the backup before. */
    backup(site: Site): string;
    /** A full one that refers to nothing taken before. */
    independent(site: Site): string;
    /** Brings what it has restored before to the newest backup, in place. */
    restoreOver(site: Site, target: string): string;
  };
  /** Absent where it does not archive WAL. */
  readonly wal?: {
    /** With %p and %f as PostgreSQL has them; runs in `dataDirectory`, which looks like one. */
    archiveCommand(site: Site, dataDirectory: string): string;
    /** The same for a restored data directory. */
    restoreCommand(site: Site, target: string): string;
  };
  /** Ends what the source's archiving has left running; not timed. */
  endProcesses?(site: Site): Promise<void>;
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
