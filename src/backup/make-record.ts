import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentBefore, segmentOf, type SegmentNumber } from '../postgres/segment-name.ts';
import type { Timeline } from '../postgres/timeline.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Incarnation } from '../repository/cluster-repository.ts';
import { pgrecallVersion } from '../version.ts';
import type { ServerFacts } from './backup-server.ts';
import type { CopiedFiles } from './copy-files.ts';

/** The WAL that makes a copy consistent. */
export interface NeededRange {
  readonly timeline: Timeline;
  /** Where replay begins. */
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly checkpointLsn: Lsn;
  readonly fromStandby: boolean;
}

/** How the backup came by what it has. */
export interface BuiltOn {
  readonly reference?: string;
  readonly evidence: NonNullable<BackupRecord['evidence']>;
  /** Why no better. */
  readonly fallback?: string;
}

export interface MadeBackup {
  readonly id: string;
  readonly incarnation: Incarnation;
  readonly startedAt: Date;
  readonly stoppedAt: Date;
  readonly checkpointedAt: Date;
  readonly temperature: BackupRecord['temperature'];
  readonly type: BackupRecord['type'];
  readonly built: BuiltOn;
  readonly facts: Pick<ServerFacts, 'tablespaces'> & Partial<Pick<ServerFacts, 'databases'>>;
  readonly control: ControlFile;
  readonly wal: NeededRange;
  readonly copied: CopiedFiles;
  readonly note: string;
  readonly keep: boolean;
  readonly outsideFiles: readonly string[];
  readonly warnings: readonly string[];
  readonly packs: readonly string[];
  readonly storedBytes: number;
}

export function makeRecord(made: MadeBackup): BackupRecord {
  const { control, wal, copied, facts } = made;
  const nameOf = (number: SegmentNumber): string => {
    return formatSegmentName({ timeline: wal.timeline, number }, control.segmentBytes);
  };
  const name = new Map(facts.tablespaces.map((tablespace) => [tablespace.oid, tablespace.name]));
  return {
    id: made.id,
    format: 1,
    kind: 'physical',
    temperature: made.temperature,
    type: made.type,
    ...made.built,
    pagesRead: copied.pagesRead,
    pagesStored: copied.pagesStored,
    bytesRead: copied.bytesRead,
    incarnation: made.incarnation.number,
    postgresMajor: control.postgresMajor,
    systemIdentifier: control.systemIdentifier,
    startedAt: made.startedAt.toISOString(),
    stoppedAt: made.stoppedAt.toISOString(),
    checkpointedAt: made.checkpointedAt.toISOString(),
    timeline: wal.timeline,
    startLsn: formatLsn(wal.startLsn),
    endLsn: formatLsn(wal.endLsn),
    checkpointLsn: formatLsn(wal.checkpointLsn),
    startSegment: nameOf(segmentOf(wal.startLsn, control.segmentBytes)),
    stopSegment: nameOf(segmentBefore(wal.endLsn, control.segmentBytes)),
    fromStandby: wal.fromStandby,
    ...(made.temperature === 'cold' ? { walLevel: control.walLevel } : {}),
    sizeBytes: copied.sizeBytes,
    storedBytes: made.storedBytes,
    files: copied.files,
    keep: made.keep,
    note: made.note,
    // Those that the walk met: one may have been made after the server was asked.
    tablespaces: copied.tablespaceLinks.map(({ oid, path }) => {
      const known = name.get(oid);
      return { oid, path, ...(known === undefined ? {} : { name: known }) };
    }),
    ...(facts.databases ? { databases: facts.databases } : {}),
    dataChecksums: control.dataChecksums,
    badPages: copied.badPages.map(({ path, blocks }) => ({ path, blocks: [...blocks] })),
    pgrecallVersion,
    packs: [...made.packs],
    outsideFiles: [...made.outsideFiles],
    warnings: [...made.warnings],
  };
}
