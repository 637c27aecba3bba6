import { existsSync, statSync } from 'node:fs';
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { DescriptorOutput, endings, type ExportCompression } from '../export/byte-output.ts';
import { planDumpExport, type DumpExport } from '../export/export-dump-plan.ts';
import { exportDump, type ExportedDump } from '../export/export-dump.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { claimToRead } from '../repository/claim.ts';
import type { DumpFacts, DumpedDatabase } from '../repository/dump-facts.ts';
import { requireEmptyDirectory } from '../restore/target-directory.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { Options } from './command.ts';
import type { CliContext } from './context.ts';
import { describeDump } from './dump-report.ts';
import { formatBytes, formatDuration } from './format.ts';
import { flagOption, listOption } from './options.ts';
import { asRoot } from './privileges.ts';
import { startProgress } from './progress.ts';
import { sizeOption } from './size-option.ts';

/** More are no help to anybody. */
const mostParts = 100_000;

export interface DumpExportRequest {
  readonly access: ClusterAccess;
  readonly record: BackupRecord;
  /** An absolute path; `undefined` for standard output. */
  readonly to: string | undefined;
  readonly compression: ExportCompression;
  readonly options: Options;
}

/** `pgrecall export CLUSTER DUMP --to PATH`: as the owner of the repository, who writes as root where that is who asked. */
export async function runDumpExport(request: DumpExportRequest, context: CliContext): Promise<number> {
  const { access, record, options, compression } = request;
  const { dump } = record;
  if (!dump) throw new PgrecallError('object-damaged', `the record of ${record.id} does not say what was dumped`);
  if (flagOption(options, 'tar')) {
    throw new PgrecallError('usage', `--tar: ${record.id} is a dump, which is exported in the format that it has`);
  }
  const names = listOption(options, 'database');
  const databases = wantedDatabases(dump, names);
  const wanted = planDumpExport(dump, databases, dump.globals && names.length === 0);
  const partBytes = sizeOption(options, 'split');
  refuseWhatCannot(wanted, { partBytes, to: request.to, record });
  const places = asRoot(() => choosePlaces(wanted, request, partBytes));
  const { now, randomBytes, signal } = context;
  await using claim = await claimToRead(access.cluster, record.id, { purpose: 'export', now, randomBytes });
  void claim;
  const progress = startProgress(context, `export of ${record.id}`);
  if (names.length === 0) progress.total(record.sizeBytes);
  const startedMs = now().getTime();
  try {
    const done = await exportDump({
      cluster: access.cluster,
      id: record.id,
      ...places,
      output: () => new DescriptorOutput(1),
      compression,
      partBytes,
      acting: asRoot,
      signal,
      onProgress: progress.advance,
    });
    progress.end();
    answer(request, { done, dump, seconds: Math.max((now().getTime() - startedMs) / 1000, 0.001) }, context);
    return 0;
  } finally {
    progress.end();
  }
}

/** Throws `database-unknown`. */
function wantedDatabases({ databases }: DumpFacts, names: readonly string[]): readonly DumpedDatabase[] {
  if (names.length === 0) return databases;
  return [...new Set(names)].map((name) => {
    const found = databases.find((database) => database.name === name);
    if (found) return found;
    throw new PgrecallError('database-unknown', `the dump has no database "${name}"`, {
      hint: `it has ${databases.map((database) => `"${database.name}"`).join(', ') || 'none, the globals alone'}`,
      details: { database: name, known: databases.map((database) => database.name) },
    });
  });
}

/** Throws `usage`. */
function refuseWhatCannot(
  wanted: readonly DumpExport[],
  asked: { readonly partBytes: number | undefined; readonly to: string | undefined; readonly record: BackupRecord },
): void {
  const { partBytes, to, record } = asked;
  const hasDirectory = wanted.some(({ format }) => format === 'directory');
  if (to === undefined && (wanted.length !== 1 || hasDirectory)) {
    throw new PgrecallError('usage', 'standard output takes one file', {
      hint: hasDirectory
        ? 'a dump in the directory format is many: name a directory with --to'
        : 'choose one with --database',
    });
  }
  if (partBytes === undefined) return;
  if (to === undefined || hasDirectory) {
    throw new PgrecallError(
      'usage',
      `--split: ${hasDirectory ? 'pg_restore reads the files of a directory as they are' : 'standard output is one stream'}`,
      { hint: hasDirectory ? 'dump in another format to split it' : 'name a file with --to' },
    );
  }
  if (record.sizeBytes / partBytes > mostParts) {
    throw new PgrecallError('usage', `--split: parts of ${partBytes} bytes would be more than ${mostParts}`);
  }
}

interface Places {
  readonly exports: readonly (DumpExport & { readonly path: string | undefined })[];
  readonly directory?: string;
}

/**
 * One file is what `--to` names, or lies in it where that is a directory; several lie in it, which has to be empty. Throws
 * `target-not-empty`.
 */
function choosePlaces(
  wanted: readonly DumpExport[],
  { to, compression }: DumpExportRequest,
  partBytes: number | undefined,
): Places {
  const [only] = wanted;
  if (to === undefined) return { exports: wanted.map((one) => ({ ...one, path: undefined })) };
  const own = (name: string, { format }: DumpExport): string =>
    join(to, format === 'directory' ? name : `${name}${endings[compression]}`);
  if (!only || wanted.length > 1) {
    requireEmptyDirectory(to, 'the directory');
    return { exports: wanted.map((one) => ({ ...one, path: own(one.name, one) })), directory: to };
  }
  if (only.format === 'directory') {
    requireEmptyDirectory(to, 'the directory');
    return { exports: [{ ...only, path: to }] };
  }
  const path = statSync(to, { throwIfNoEntry: false })?.isDirectory() === true ? own(only.name, only) : to;
  requireUnused(path, partBytes !== undefined);
  return { exports: [{ ...only, path }] };
}

/** Nor parts of another export, which `cat` would join with ours. */
function requireUnused(path: string, isSplit: boolean): void {
  const parent = dirname(path);
  if (!existsSync(parent)) throw new PgrecallError('io', `there is no directory "${parent}"`, { details: { path } });
  const isPart = (name: string): boolean =>
    isSplit && name.startsWith(`${basename(path)}.`) && /^\d+$/.test(name.slice(basename(path).length + 1));
  const found = existsSync(path) ? path : readdirSync(parent).find(isPart);
  if (found === undefined) return;
  throw new PgrecallError('target-not-empty', `"${found}" is there already`, {
    hint: 'name another file, or remove what is there',
    details: { path, found },
  });
}

interface Done {
  readonly done: readonly ExportedDump[];
  readonly dump: DumpFacts;
  readonly seconds: number;
}

function answer({ record, to, compression }: DumpExportRequest, result: Done, context: CliContext): void {
  const { done, dump, seconds } = result;
  const sizeBytes = done.reduce((sum, one) => sum + one.sizeBytes, 0);
  if (context.json) {
    const exports = done.map(({ database, ...one }) => ({ database: database?.name ?? null, ...one }));
    context.stdout(JSON.stringify({ dump: record.id, to, compression, exports, sizeBytes, seconds }, undefined, 2));
    return;
  }
  const files = done.reduce((sum, one) => sum + one.files, 0);
  const what = `${record.id}: ${describeDump(dump)}, ${formatBytes(sizeBytes)} in ${files} file(s), ${formatDuration(seconds)}`;
  if (to === undefined) {
    context.stderr(what);
    return;
  }
  context.stdout([what, ...done.map((one) => howToLoad(one, compression))].join('\n'));
}

const reading: Readonly<Record<ExportCompression, string>> = { none: 'cat', gzip: 'gunzip -c', zstd: 'zstd -dc' };

/** The command that loads it without pgrecall, to be copied. */
function howToLoad({ database, format, path = '', files }: ExportedDump, compression: ExportCompression): string {
  const target = database ? 'DATABASE' : 'postgres';
  const program = format === 'plain' ? `psql -X -v ON_ERROR_STOP=1 -d ${target}` : `pg_restore -d ${target}`;
  if (format === 'directory') {
    const newer = compression === 'zstd' ? '  # pg_restore of PostgreSQL 16 or newer, built with zstd' : '';
    return `load it: ${program} ${quoted(path)}${newer}`;
  }
  const isSplit = files > 1 || /\.\d{3,}$/.test(path);
  const parts = isSplit ? `${quoted(path.replace(/\.\d+$/, ''))}.*` : quoted(path);
  if (compression === 'none' && !isSplit) {
    return `load it: ${program} ${format === 'plain' ? '-f ' : ''}${quoted(path)}`;
  }
  const joined =
    isSplit && compression !== 'none' ? `cat ${parts} | ${reading[compression]}` : `${reading[compression]} ${parts}`;
  return `load it: ${joined} | ${program}`;
}

/** For a shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
