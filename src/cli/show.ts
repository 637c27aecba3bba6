import { describeRelation } from '../postgres/relation-names.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import { FileNames, describeFile } from '../restore/file-names.ts';
import { describeEvidence, describeFallback } from './backup-report.ts';
import { findBackup, openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import { showContents } from './contents-report.ts';
import type { CliContext } from './context.ts';
import { dumpRows } from './dump-report.ts';
import { formatBytes, formatDuration, formatTable } from './format.ts';
import { flagOption, requiredPositional } from './options.ts';

/** `pgrecall show CLUSTER BACKUP`. */
export const runShow: RunCommand = async (arguments_, context) => {
  const { cluster } = await openCluster(context, requiredPositional(arguments_, 'cluster'));
  const record = findBackup(
    await cluster.listBackups({ onDamaged: () => undefined }),
    requiredPositional(arguments_, 'backup'),
  );
  if (flagOption(arguments_.options, 'files')) await showFiles(cluster, record, context);
  else if (record.dump && record.dump.format !== 'plain')
    await showContents(cluster, record, context, describe(record));
  else if (context.json) context.stdout(JSON.stringify(record, undefined, 2));
  else context.stdout(formatTable(describe(record)));
  return 0;
};

/** One after the other: a backup may have millions. */
async function showFiles(cluster: ClusterRepository, record: BackupRecord, context: CliContext): Promise<void> {
  await using manifest = await cluster.openManifest(record.id);
  const names = await FileNames.read(manifest, record);
  if (context.json) context.stdout(`{ "id": ${JSON.stringify(record.id)}, "files": [`);
  let separator = '  ';
  for await (const { path, kind, sizeBytes, crc32c, target } of manifest.entries()) {
    context.signal.throwIfAborted();
    const named = kind === 'file' ? names.of(path) : undefined;
    if (context.json) {
      const database = named?.database;
      const relation = named?.relation && describeRelation(named.relation);
      context.stdout(`${separator}${JSON.stringify({ path, kind, sizeBytes, crc32c, target, database, relation })}`);
      separator = ', ';
    } else if (kind !== 'directory') {
      const name = named && describeFile(named);
      const more = target === undefined ? (name === undefined ? '' : `  ${name}`) : ` -> ${target}`;
      context.stdout(`${String(sizeBytes).padStart(12)}  ${path}${more}`);
    }
  }
  if (context.json) context.stdout('] }');
}

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
    ...(record.dump ? dumpRows(record.dump) : walRows(record)),
    ['content', `${record.files} files, ${formatBytes(record.sizeBytes)}`],
    ['stored', `${formatBytes(record.storedBytes)} in ${record.packs.length} pack(s)`],
    ...rows('reference', record.dump && record.reference),
    ...rows('changes', describeEvidence(record)),
    ...rows('fallback', describeFallback(record)),
    ...(record.dump ? [] : checksumRows(record)),
    ['keep', record.keep ? 'yes' : 'no'],
    ['note', record.note === '' ? '-' : record.note],
    ...record.tablespaces.map(({ oid, name, path }): [string, string] => [
      'tablespace',
      `${name ?? oid} (${oid}) at ${path}`,
    ]),
    ...rows('databases', record.databases?.map(({ name }) => name).join(', ')),
    ...record.outsideFiles.map((path): [string, string] => ['outside', path]),
    ...record.warnings.map((warning): [string, string] => ['warning', warning]),
    ['taken with', `pgrecall ${record.pgrecallVersion}`],
  ];
}

function walRows(record: BackupRecord): [string, string][] {
  return [
    ['WAL', `timeline ${record.timeline}, ${record.startLsn} to ${record.endLsn}`],
    ['segments', `${record.startSegment} to ${record.stopSegment}`],
  ];
}

function checksumRows(record: BackupRecord): [string, string][] {
  return [['page checksums', record.dataChecksums ? `on, ${badPages(record)}` : 'off in this cluster']];
}

/** None where there is nothing to say. */
function rows(name: string, text: string | undefined): [string, string][] {
  return text === undefined ? [] : [[name, text]];
}

function badPages(record: BackupRecord): string {
  if (record.badPages.length === 0) return 'all good';
  return record.badPages.map(({ path, blocks }) => `WRONG in ${path}, block ${blocks.join(', ')}`).join('; ');
}
