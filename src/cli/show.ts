import { findBackup, openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { formatBytes, formatDuration, formatTable } from './format.ts';
import { flagOption, requiredPositional } from './options.ts';
import type { BackupRecord } from '../repository/backup-record.ts';

/** `pgrecall show CLUSTER BACKUP`. */
export const runShow: RunCommand = async (arguments_, context) => {
  const { cluster } = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const record = findBackup(await cluster.listBackups(), requiredPositional(arguments_, 'backup'));
  const files = flagOption(arguments_.options, 'files');
  if (context.json && !files) {
    context.stdout(JSON.stringify(record, undefined, 2));
    return 0;
  }
  if (!files) {
    context.stdout(formatTable(describe(record).map(([name, value]) => [name, value])));
    return 0;
  }
  const manifest = await cluster.openManifest(record.id);
  try {
    for await (const entry of manifest.entries()) {
      const { path, kind, sizeBytes, crc32c } = entry;
      context.stdout(
        context.json ? JSON.stringify({ path, kind, sizeBytes, crc32c }) : `${String(sizeBytes).padStart(12)}  ${path}`,
      );
    }
  } finally {
    await manifest.close();
  }
  return 0;
};

function describe(record: BackupRecord): [string, string][] {
  const seconds = (Date.parse(record.stoppedAt) - Date.parse(record.startedAt)) / 1000;
  return [
    ['backup', record.id],
    ['what', `${record.temperature}, ${record.kind}, ${record.type}${record.fromStandby ? ', from a standby' : ''}`],
    ['taken', `${record.startedAt} to ${record.stoppedAt} (${formatDuration(seconds)})`],
    [
      'server',
      `PostgreSQL ${record.postgresMajor}, system identifier ${record.systemIdentifier}, incarnation ${record.incarnation}`,
    ],
    ['WAL', `timeline ${record.timeline}, ${record.startLsn} to ${record.endLsn}`],
    ['segments', `${record.startSegment} to ${record.stopSegment}`],
    ['content', `${record.files} files, ${formatBytes(record.sizeBytes)}`],
    ['stored', `${formatBytes(record.storedBytes)} in ${record.packs.length} pack(s)`],
    ['page checksums', record.dataChecksums ? `on, ${badPages(record)}` : 'off in this cluster'],
    ['keep', record.keep ? 'yes' : 'no'],
    ['note', record.note === '' ? '-' : record.note],
    ...record.tablespaces.map(({ oid, name, path }): [string, string] => [
      'tablespace',
      `${name ?? oid} (${oid}) at ${path}`,
    ]),
    ...record.outsideFiles.map((path): [string, string] => ['outside', path]),
    ...record.warnings.map((warning): [string, string] => ['warning', warning]),
    ['taken with', `pgrecall ${record.pgrecallVersion}`],
  ];
}

function badPages(record: BackupRecord): string {
  if (record.badPages.length === 0) return 'all good';
  return record.badPages.map(({ path, blocks }) => `WRONG in ${path}, block ${blocks.join(', ')}`).join('; ');
}
