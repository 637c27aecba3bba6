import { parseBackupLabel } from '../postgres/backup-label.ts';
import type { ControlFile } from '../postgres/control-file.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentBefore } from '../postgres/segment-name.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { Incarnation } from '../repository/cluster-repository.ts';
import { pgrecallVersion } from '../version.ts';
import type { ServerFacts, StoppedBackup } from './backup-server.ts';
import type { CopiedFiles } from './copy-files.ts';

export interface MadeBackup {
  readonly id: string;
  readonly incarnation: Incarnation;
  readonly startedAt: Date;
  readonly stoppedAt: Date;
  readonly checkpointedAt: Date;
  readonly facts: ServerFacts;
  readonly control: ControlFile;
  readonly stopped: StoppedBackup;
  readonly copied: CopiedFiles;
  readonly note: string;
  readonly keep: boolean;
  readonly outsideFiles: readonly string[];
  readonly warnings: readonly string[];
  readonly packs: readonly string[];
  readonly storedBytes: number;
}

export function makeRecord(made: MadeBackup): BackupRecord {
  const { control, stopped, copied, facts } = made;
  const label = parseBackupLabel(stopped.label);
  const name = new Map(facts.tablespaces.map((tablespace) => [tablespace.oid, tablespace.name]));
  return {
    id: made.id,
    format: 1,
    kind: 'physical',
    temperature: 'hot',
    type: 'full',
    incarnation: made.incarnation.number,
    postgresMajor: control.postgresMajor,
    systemIdentifier: control.systemIdentifier,
    startedAt: made.startedAt.toISOString(),
    stoppedAt: made.stoppedAt.toISOString(),
    checkpointedAt: made.checkpointedAt.toISOString(),
    timeline: label.startTimeline,
    startLsn: formatLsn(label.startLsn),
    endLsn: formatLsn(stopped.stopLsn),
    checkpointLsn: formatLsn(label.checkpointLsn),
    startSegment: label.startSegment,
    stopSegment: formatSegmentName(
      { timeline: label.startTimeline, number: segmentBefore(stopped.stopLsn, control.segmentBytes) },
      control.segmentBytes,
    ),
    fromStandby: label.from === 'standby',
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
    databases: facts.databases,
    dataChecksums: control.dataChecksums,
    badPages: copied.badPages.map(({ path, blocks }) => ({ path, blocks: [...blocks] })),
    pgrecallVersion,
    packs: [...made.packs],
    outsideFiles: [...made.outsideFiles],
    warnings: [...made.warnings],
  };
}
