import { findGaps, recoverableSpans } from '../archive/recoverable.ts';
import { readWalCatalogue, type WalCatalogue } from '../archive/wal-catalogue.ts';
import { WalStore } from '../archive/wal-store.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { formatLsn } from '../postgres/lsn.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { toUnixMillis } from '../wal/transaction-time.ts';
import { openCluster } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { describeDump } from './dump-report.ts';
import { formatBytes, formatDuration, formatIso, formatTable } from './format.ts';

interface Damaged {
  /** Of the backup; `null` where the catalogue of WAL cannot be read. */
  readonly id: string | null;
  readonly code: string;
  readonly message: string;
}

type ListDocument = Awaited<ReturnType<typeof describeCluster>>;

/**
 * `pgrecall list [CLUSTER]`: all clusters of the configuration where none is named; exit 3 where a record is damaged.
 * One cluster that cannot be listed does not hide the others.
 */
export const runList: RunCommand = async (arguments_, context) => {
  const named = arguments_.positional['cluster'];
  const names = named === undefined ? [...(await context.config()).clusters.keys()] : [named];
  const answers: Answer[] = [];
  for (const name of names) answers.push(await listOne(name, names.length > 1, context));
  if (context.json) {
    const documents = answers.map(({ document }) => document);
    context.stdout(JSON.stringify(documents.length === 1 ? documents[0] : documents, undefined, 2));
  } else if (names.length === 0) {
    context.stdout('no clusters yet: pgrecall init adds one');
  } else {
    context.stdout(answers.map(({ text }) => text).join('\n\n'));
  }
  return answers.find(({ exitStatus }) => exitStatus !== 0)?.exitStatus ?? 0;
};

interface Answer {
  readonly document: unknown;
  readonly text: string;
  readonly exitStatus: number;
}

async function listOne(name: string, amongOthers: boolean, context: CliContext): Promise<Answer> {
  try {
    const document = await describeCluster(name, context);
    for (const { id, code, message } of document.damaged) {
      const what = id === null ? 'what can be recovered is not known' : `backup ${id} is not listed`;
      context.stderr(`warning: ${what}: ${code}: ${message}`);
    }
    return { document, text: toText(document), exitStatus: document.damaged.length > 0 ? 3 : 0 };
  } catch (error) {
    if (!amongOthers || !(error instanceof PgrecallError)) throw error;
    const { code, message, hint = null, details, exitStatus } = error;
    context.stderr(`error[${code}]: ${message}${hint === null ? '' : `\n  hint: ${hint}`}`);
    const text = `cluster ${name}\ncannot be listed: ${message}`;
    return { document: { cluster: name, error: { code, message, hint, details } }, text, exitStatus };
  }
}

async function describeCluster(name: string, context: CliContext) {
  const { cluster, incarnation, incarnations } = await openCluster(context, name);
  const damaged: Damaged[] = [];
  const backups = await cluster.listBackups({
    onDamaged: (id, error) => {
      if (!(error instanceof PgrecallError)) throw error;
      damaged.push({ id, code: error.code, message: error.message });
    },
  });
  const lives = [];
  for (const life of incarnations) {
    const own = backups.filter((backup) => backup.incarnation === life.number);
    if (life !== incarnation && own.length === 0) continue;
    const catalogue = await readOrNote(new WalStore(cluster, life), damaged);
    if (catalogue) lives.push({ number: life.number, catalogue, own, segmentBytes: life.segmentBytes });
  }
  const last = lives.reduce<bigint | undefined>((time, { catalogue }) => later(time, lastCommit(catalogue)), undefined);
  return {
    cluster: name,
    backups: backups.map(describeBackup),
    recoverable: lives.flatMap(({ number, catalogue, own, segmentBytes }) =>
      recoverableSpans(own, catalogue, segmentBytes).map((span) => {
        const from = span.backup?.stoppedAt ?? isoOf(span.firstCommitTime);
        const to = isoOf(span.lastCommitTime);
        return {
          incarnation: number,
          timeline: span.timeline,
          from,
          // The last commit may lie before the backup that the span begins with.
          to: from !== null && to !== null && Date.parse(to) < Date.parse(from) ? from : to,
          fromLsn: formatLsn(span.fromLsn),
          toLsn: formatLsn(span.toLsn),
        };
      }),
    ),
    gaps: lives.flatMap(({ number, catalogue, own, segmentBytes }) =>
      findGaps(own, catalogue, segmentBytes).map(({ timeline, fromLsn, toLsn }) => ({
        incarnation: number,
        timeline,
        from: formatLsn(fromLsn),
        to: formatLsn(toLsn),
      })),
    ),
    lastCommitAt: isoOf(last),
    lastCommitAgeSeconds:
      last === undefined ? null : Math.max(0, (context.now().getTime() - toUnixMillis(last)) / 1000),
    damaged,
  };
}

/** Damage there hides no backup; `verify` says where it is. */
async function readOrNote(store: WalStore, damaged: Damaged[]): Promise<WalCatalogue | undefined> {
  try {
    return await readWalCatalogue(store);
  } catch (error) {
    if (!(error instanceof PgrecallError) || error.exitStatus !== 3) throw error;
    damaged.push({ id: null, code: error.code, message: error.message });
    return undefined;
  }
}

function describeBackup(backup: BackupRecord) {
  return {
    id: backup.id,
    kind: backup.kind,
    temperature: backup.temperature,
    type: backup.type,
    startedAt: backup.startedAt,
    stoppedAt: backup.stoppedAt,
    sizeBytes: backup.sizeBytes,
    storedBytes: backup.storedBytes,
    keep: backup.keep,
    note: backup.note,
    incarnation: backup.incarnation,
    timeline: backup.timeline,
    startLsn: backup.startLsn,
    endLsn: backup.endLsn,
    badPages: backup.badPages.length,
    ...(backup.dump ? { dump: backup.dump } : {}),
  };
}

function isoOf(micros: bigint | undefined): string | null {
  return micros === undefined ? null : formatIso(micros);
}

function lastCommit({ ranges }: WalCatalogue): bigint | undefined {
  return ranges.reduce<bigint | undefined>((time, { lastCommitTime }) => later(time, lastCommitTime), undefined);
}

function later(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a > b ? a : b;
}

function toText(document: ListDocument): string {
  const lines = [`cluster ${document.cluster}`];
  lines.push(document.backups.length === 0 ? 'no backups yet: pgrecall backup takes one' : backupTable(document));
  const several = new Set(document.recoverable.map(({ incarnation }) => incarnation)).size > 1;
  for (const span of document.recoverable) {
    const where = several ? `incarnation ${span.incarnation}, timeline ${span.timeline}` : `timeline ${span.timeline}`;
    const to = span.to === null || span.to === span.from ? '' : ` ${span.to}`;
    lines.push(`recoverable: ${where}, from ${span.from ?? '?'} (${span.fromLsn}) to${to} (${span.toLsn})`);
  }
  for (const gap of document.gaps) {
    lines.push(`GAP: timeline ${gap.timeline}, ${gap.from} to ${gap.to} is not archived`);
  }
  if (document.lastCommitAgeSeconds !== null) {
    lines.push(`last commit archived: ${document.lastCommitAt}, ${formatDuration(document.lastCommitAgeSeconds)} ago`);
  }
  return lines.join('\n');
}

function backupTable(document: ListDocument): string {
  return formatTable([
    ['backup', 'what', 'ended', 'size', 'stored', 'note'],
    ...document.backups.map((backup) => [
      backup.id,
      `${backup.temperature} ${backup.kind} ${backup.type}`,
      backup.stoppedAt,
      formatBytes(backup.sizeBytes),
      formatBytes(backup.storedBytes),
      [
        backup.keep ? '[kept]' : '',
        backup.dump ? `[${describeDump(backup.dump)}]` : '',
        backup.badPages > 0 ? `[${backup.badPages} file(s) with bad pages]` : '',
        backup.note,
      ]
        .filter((text) => text !== '')
        .join(' '),
    ]),
  ]);
}
