import { resolve } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { importBytes, importDump } from '../logical/import-dump.ts';
import { peekSource } from '../logical/import-peek.ts';
import { openImportSource } from '../logical/import-source.ts';
import { storeInThreads } from '../logical/storing.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { openCluster, repositoryForThreads } from './cluster-access.ts';
import type { RunCommand } from './command.ts';
import type { CliContext } from './context.ts';
import { describeDump } from './dump-report.ts';
import { formatBytes, formatDuration } from './format.ts';
import { flagOption, requiredPositional, textOption } from './options.ts';
import { startProgress } from './progress.ts';

/** `pgrecall import CLUSTER PATH`. */
export const runImport: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const name = requiredPositional(arguments_, 'cluster');
  // Opened by who asked, who may be root; stored by the owner of the repository.
  using source = openImportSource(resolve(context.cwd, requiredPositional(arguments_, 'path')));
  const peeked = await peekSource(source);
  const isGlobals = peeked.kind === 'cluster-script';
  const named = textOption(options, 'database');
  if (isGlobals && named !== undefined) {
    throw new PgrecallError('usage', `--database: "${source.name}" is a script of pg_dumpall, of no single database`);
  }
  const database = named ?? peeked.database;
  if (database === undefined && !isGlobals) {
    throw new PgrecallError('usage', `"${source.name}" does not tell which database it is of`, {
      hint: 'name it with --database',
    });
  }
  const access = await openCluster(context, name);
  const progress = startProgress(context, `import of ${source.name}`);
  progress.total(importBytes(source));
  try {
    const record = await importDump({
      cluster: access.cluster,
      incarnation: access.incarnation,
      source,
      peeked,
      database,
      storing: (earlier) =>
        storeInThreads(earlier, {
          access: repositoryForThreads(access),
          cluster: name,
          jobs: 1,
          // The bytes that are read are counted.
          onProgress: () => undefined,
        }),
      note: textOption(options, 'note') ?? '',
      keep: flagOption(options, 'keep'),
      now: context.now,
      randomBytes: context.randomBytes,
      signal: context.signal,
      onProgress: progress.advance,
      say: progress.say,
    });
    progress.end();
    report(record, context);
    return 0;
  } finally {
    progress.end();
  }
};

function report(record: BackupRecord, context: CliContext): void {
  if (context.json) {
    context.stdout(JSON.stringify(record, undefined, 2));
    return;
  }
  const what = record.dump ? describeDump(record.dump) : record.type;
  const seconds = (Date.parse(record.stoppedAt) - Date.parse(record.startedAt)) / 1000;
  context.stdout(
    `${record.id}  ${what}, ${formatBytes(record.sizeBytes)}, stored in ${formatBytes(record.storedBytes)}, ${formatDuration(seconds)}`,
  );
}
