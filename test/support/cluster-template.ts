import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32c } from '../../src/bytes/crc32c.ts';
import { asOwner } from '../../src/server/as-owner.ts';
import type { Programs } from '../../src/server/programs.ts';
import { giveToServer } from './server-user.ts';

/*
 * initdb takes half a second, a copy of what it made a twentieth. So it runs once a process for each kind of cluster, and
 * every cluster is a copy with a system identifier of its own.
 */

export interface TemplateOptions {
  readonly programs: Programs;
  readonly walSegmentMiB: number;
  readonly dataChecksums: boolean;
}

/** A new data directory at `directory`, which must not exist; `templates` holds those to copy. */
export function makeDataDirectory(options: TemplateOptions, templates: string, directory: string): void {
  const { programs, walSegmentMiB, dataChecksums } = options;
  const template = join(templates, `${programs.major}-${walSegmentMiB}-${dataChecksums ? 'checksums' : 'plain'}`);
  if (!exists(template)) {
    mkdirSync(templates, { recursive: true });
    const half = `${template}.half`;
    runInitdb(options, half);
    renameSync(half, template);
  }
  execFileSync('cp', ['-a', '--reflink=auto', template, directory]);
  changeIdentifier(directory, programs.major);
}

function exists(directory: string): boolean {
  try {
    return readdirSync(directory).length > 0;
  } catch {
    return false;
  }
}

function runInitdb(options: TemplateOptions, directory: string): void {
  const { programs, walSegmentMiB, dataChecksums } = options;
  mkdirSync(directory, { mode: 0o700 });
  giveToServer(directory);
  const arguments_ = [
    `--pgdata=${directory}`,
    '--no-sync',
    '--username=postgres',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    `--wal-segsize=${walSegmentMiB}`,
    // Version 18 made checksums the default and gave them an option to turn them off.
    ...(dataChecksums ? ['--data-checksums'] : programs.major >= 18 ? ['--no-data-checksums'] : []),
  ];
  const run = asOwner(directory, programs.initdb, arguments_, {
    ...process.env,
    ...programs.env,
    TZ: 'UTC',
    LC_ALL: 'C',
  });
  execFileSync(run.command, run.arguments, { ...run.options, stdio: ['ignore', 'ignore', 'pipe'] });
}

const identifierBytes = 8;
/** Where the identifier stands in the long header of a segment's first page (XLogLongPageHeaderData). */
const identifierInSegment = 24;

/** Gives the copy another system identifier: in pg_control, before its CRC, and in the one WAL segment that initdb wrote. */
function changeIdentifier(directory: string, major: number): void {
  const identifier = randomBytes(identifierBytes);
  // Below 2^63, as those that PostgreSQL makes of the time: SQL reads it as bigint.
  identifier[7] = 0x6a;
  const controlPath = join(directory, 'global', 'pg_control');
  const control = readFileSync(controlPath);
  const crcOffset = major >= 18 ? 292 : 288;
  identifier.copy(control, 0);
  control.writeUInt32LE(crc32c(control.subarray(0, crcOffset)), crcOffset);
  writeFileSync(controlPath, control);
  for (const name of readdirSync(join(directory, 'pg_wal')).filter((entry) => /^[0-9A-F]{24}$/.test(entry))) {
    const path = join(directory, 'pg_wal', name);
    const segment = readFileSync(path);
    identifier.copy(segment, identifierInSegment);
    writeFileSync(path, segment);
  }
}
