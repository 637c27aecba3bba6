import { copyFileSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isErrno } from '../../src/errors/pgrecall-error.ts';
import { giveToServer } from './server-user.ts';
import type { TestCluster } from './cluster.ts';

/*
 * A standby made by PostgreSQL's low-level API, in a few lines that share nothing with the program under test:
 * https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
 */

/** Directories whose files a copy leaves out. */
const contentsLeftOut = new Set(['pg_wal', 'pg_wal/archive_status', 'pg_wal/summaries', 'pg_replslot', 'pg_stat_tmp']);
const filesLeftOut = new Set(['postmaster.pid', 'postmaster.opts', 'backup_label', 'recovery.signal']);

let standbysMade = 0;

/** Copies a running cluster; returns the settings of a standby of it, which has a slot of its own there. */
export async function makeStandby(
  primary: TestCluster,
  dataDirectory: string,
  tablespaces: string,
): Promise<Record<string, string>> {
  await using session = await primary.session();
  standbysMade += 1;
  const slot = `standby_${standbysMade}`;
  await session.query('SELECT pg_create_physical_replication_slot($1, true)', [slot]);
  const [start, stop] =
    primary.major >= 15
      ? ["pg_backup_start('standby', true)", 'pg_backup_stop(false)']
      : ["pg_start_backup('standby', true, false)", 'pg_stop_backup(false, false)'];
  await session.query(`SELECT ${start}`);
  copyTree(primary.dataDirectory, dataDirectory, primary.dataDirectory);
  relinkTablespaces(primary.dataDirectory, dataDirectory, tablespaces);
  const [label] = await session.query<{ labelfile: string }>(`SELECT labelfile FROM ${stop}`);
  writeOwned(join(dataDirectory, 'backup_label'), label?.labelfile ?? '');
  writeOwned(join(dataDirectory, 'standby.signal'), '');
  return {
    primary_conninfo: `host=${primary.socketDirectory} port=${primary.port} user=postgres application_name=${slot}`,
    primary_slot_name: slot,
    hot_standby: 'on',
  };
}

/** Copies files and directories, but no links; what vanishes meanwhile is replayed from WAL. */
function copyTree(from: string, to: string, root: string): void {
  mkdirSync(to, { mode: 0o700, recursive: true });
  giveToServer(to);
  const inRoot = relative(root, from);
  for (const name of readdirSync(from)) {
    const source = join(from, name);
    const target = join(to, name);
    const kind = lstatSync(source, { throwIfNoEntry: false });
    if (kind?.isDirectory()) {
      copyTree(source, target, root);
    } else if (kind?.isFile() && !contentsLeftOut.has(inRoot) && !(inRoot === '' && filesLeftOut.has(name))) {
      copyFile(source, target);
    }
  }
}

function copyFile(source: string, target: string): void {
  try {
    copyFileSync(source, target);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    return;
  }
  giveToServer(target);
}

function relinkTablespaces(from: string, to: string, tablespaces: string): void {
  for (const oid of readdirSync(join(from, 'pg_tblspc'))) {
    const source = readlinkSync(join(from, 'pg_tblspc', oid));
    mkdirSync(tablespaces, { recursive: true });
    giveToServer(tablespaces);
    copyTree(source, join(tablespaces, oid), source);
    symlinkSync(join(tablespaces, oid), join(to, 'pg_tblspc', oid));
  }
}

function writeOwned(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  giveToServer(path);
}
