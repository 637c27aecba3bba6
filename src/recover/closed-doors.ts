import { join } from 'node:path';
import { writeDurably } from '../restore/durable.ts';
import { journalDirectory } from './recovery-journal.ts';

/*
 * While a cluster recovers, its users stay out: the server is given other access rules than its own, which lie with the
 * journal. Nothing of the administrator's files is touched; without our settings they count again.
 */

export interface DoorKeeper {
  /** Who may come in: the role that pgrecall connects as. */
  readonly role: string;
  /** Users of this machine that may be it. */
  readonly users: readonly string[];
}

function hbaPath(directory: string): string {
  return join(journalDirectory(directory), 'pg_hba.conf');
}

function identPath(directory: string): string {
  return join(journalDirectory(directory), 'pg_ident.conf');
}

export function writeDoors(directory: string, { role, users }: DoorKeeper): void {
  const quoted = `"${role.replaceAll('"', '""')}"`;
  const hba = `# pgrecall recover: until the recovery has come to its end, the local administrator alone\nlocal all ${quoted} peer map=pgrecall\n`;
  const ident = users.map((user) => `pgrecall "${user}" ${quoted}\n`).join('');
  writeDurably(hbaPath(directory), hba);
  writeDurably(identPath(directory), ident);
}

/** Settings of a server that recovers; `port` where another one is wanted meanwhile. */
export function closedSettings(directory: string, port: number | null): Record<string, string> {
  return {
    hot_standby: 'on',
    listen_addresses: '',
    hba_file: hbaPath(directory),
    ident_file: identPath(directory),
    ...(port === null ? {} : { port: String(port) }),
  };
}

/** The same on a command line, where what is there wins over any file. */
export function closedArguments(directory: string, port: number | null): readonly string[] {
  return Object.entries(closedSettings(directory, port)).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
