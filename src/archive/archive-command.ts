import { announcedRunsScript } from './announced-process.ts';
import { bellScript } from './bell.ts';

/*
 * The script that PostgreSQL calls for each finished WAL file (archive_command): plain POSIX sh, so that the usual
 * call costs two processes of a millisecond each and no start of Node.
 *
 * It exits 0 only
 *   - on an acknowledgement that names this very file: its name, inode, size and time of change; or
 *   - when `pgrecall wal push` has stored it.
 * The acknowledgement is written by an archiver that works ahead of PostgreSQL (archiver.ts). While one runs, the
 * script waits for it; a failure is handed over in the same way, so that the server's log has the reason. Where none
 * runs and more files wait than this one, the script starts one, which ends when there is nothing to do for a while.
 * A single file is pushed directly.
 *
 *   <state>/archiver/pid           the archiver's process (announced-process.ts)
 *   <state>/archiver/wal           a link to the pg_wal that it looks after: after a failover on one host, the one of the
 *                                  old primary may still be there when the new one archives
 *   <state>/archiver/ok/<file>     "<inode> <size> <mtime>" of the file that was stored
 *   <state>/archiver/failed/<file> the same line, then why it could not be stored
 *   <state>/archiver/bell          rings when there is something new in them (bell.ts)
 */

export interface ScriptOptions {
  /** Absolute path of `bin/pgrecall`. */
  readonly launcher: string;
  readonly configFile: string;
  readonly cluster: string;
  readonly stateDirectory: string;
  readonly dataDirectory: string;
}

/** Where the archiver and the script meet. */
export function archiverDirectory(stateDirectory: string): string {
  return `${stateDirectory}/archiver`;
}

/** The line that tells a file from every other that had its name: `stat -c '%i %s %Y'`. */
export function fileIdentity(stat: { readonly ino: number; readonly size: number; readonly mtimeMs: number }): string {
  return `${stat.ino} ${stat.size} ${Math.floor(stat.mtimeMs / 1000)}`;
}

/** Waits for a running archiver: so many looks, this many seconds apart or when the bell rings. Then the file is pushed directly. */
const pollSeconds = 0.02;
const polls = 1500;
/** Of which a second has so many. */
export const pollsPerTick = 50;

/** An archiver that was started for a backlog ends after so long without work. */
const idleExitSeconds = 60;

export function archiveCommandScript(options: ScriptOptions): string {
  const quote = quoteForShell;
  return `#!/bin/sh
# Made by pgrecall init: PostgreSQL's archive_command for the cluster "${options.cluster}".
# Called with the path and the name of a finished WAL file; exit 0 means that it is stored, durably.
path=$1
name=$2
state=${quote(archiverDirectory(options.stateDirectory))}

identity=$(stat -c '%i %s %Y' "$path") || exit 1
acknowledged() {
  read -r line 2>/dev/null <"$state/ok/$name" && [ "$line" = "$identity" ]
}
failed() {
  { read -r line && [ "$line" = "$identity" ] && cat; } <"$state/failed/$name" >&2
}
${announcedRunsScript('announced', '"$state/pid"')}
wal=\${path%/*}
working() {
  { [ ! -L "$state/wal" ] || [ "$state/wal" -ef "$wal" ]; } && announced
}
${bellScript('rung', '"$state/bell"', 'working')}

acknowledged && exit 0
starter=none
if ! working; then
  # Of an archiver that is gone.
  [ -e "$state/failed/$name" ] && rm -f "$state/failed/$name"
  case $wal in /*) ;; *) wal=$PWD/$wal ;; esac
  set -- "$wal"/archive_status/*.ready
  if [ "$#" -gt 1 ]; then
    # In a session of its own: what the server does to this script's process group does not concern it.
    detach=$(command -v setsid)
    \${detach:+"$detach"} ${quote(options.launcher)} wal archive ${quote(options.cluster)} --config ${quote(options.configFile)} --data-directory "\${wal%/*}" --idle-exit ${idleExitSeconds} </dev/null >/dev/null 2>&1 &
    starter=$!
  fi
fi
tries=${polls}
while [ "$tries" -gt 0 ]; do
  working || { [ "$starter" != none ] && kill -0 "$starter" 2>/dev/null; } || break
  told=
  rung || sleep ${pollSeconds}
  [ "$told" = tick ] && tries=$((tries - ${pollsPerTick - 1}))
  acknowledged && exit 0
  if [ -e "$state/failed/$name" ]; then
    failed && exit 1
  fi
  tries=$((tries - 1))
done
acknowledged && exit 0
exec ${quote(options.launcher)} wal push "$path" --cluster ${quote(options.cluster)} --config ${quote(options.configFile)}
`;
}

export function quoteForShell(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
