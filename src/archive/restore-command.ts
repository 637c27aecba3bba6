import { announcedRunsScript } from './announced-process.ts';
import { pollsPerTick, quoteForShell, type ScriptOptions } from './archive-command.ts';
import { bellScript } from './bell.ts';

/*
 * The script that a recovering server calls for each WAL file that it wants (restore_command). A prefetcher
 * (prefetcher.ts), which the script starts where none runs, fetches segments ahead; the usual call takes one by a
 * rename, in a millisecond. What the prefetcher does not announce is asked of `wal get`.
 *
 *   <data directory>/pg_wal/pgrecall/ahead.<boot>/<segment>           whole, to be taken
 *   <data directory>/pg_wal/pgrecall/ahead.<boot>/<segment>.coming    being fetched
 *   <data directory>/pg_wal/pgrecall/ahead.<boot>/pid                 the prefetcher's process, once it has announced the first
 *   <data directory>/pg_wal/pgrecall/ahead.<boot>/unfinished/bell     rings when one of those that were coming is there, or will not be
 *
 * <boot> is the system's boot identifier: what was fetched ahead is not synced, and must never be taken after a power
 * cut. Exit 1 says that the archive has no such file, which ends a recovery. Nothing else that goes wrong may be
 * mistaken for that, not even a Node that does not start, which has the status 1 too: `wal get --ahead` says by a
 * status of its own that there is no such file, and all other ones become 126, at which PostgreSQL stops
 * (xlogarchive.c), except on a standby, which asks again.
 */

/** By which `wal get --ahead` tells the script that the archive has no such file. */
export const absentStatus = 44;

/** Where fetched segments wait, below the data directory; `boot` as in /proc/sys/kernel/random/boot_id. */
export function aheadDirectory(dataDirectory: string, boot: string): string {
  return `${dataDirectory}/pg_wal/pgrecall/ahead.${boot}`;
}

/** Where the script itself lies. */
export function restoreScriptPath(dataDirectory: string): string {
  return `${dataDirectory}/pg_wal/pgrecall/restore-command`;
}

/** So many looks, this many seconds apart or when the bell rings, at a segment that is being fetched; then it is fetched directly. */
const pollSeconds = 0.02;
const polls = 1500;

/** A prefetcher ends after so long without demand. */
const idleExitSeconds = 60;

export function restoreCommandScript(options: ScriptOptions): string {
  const quote = quoteForShell;
  return `#!/bin/sh
# Made by pgrecall restore: PostgreSQL's restore_command for this copy of the cluster "${options.cluster}".
# Called with the name of a WAL file and the path to put it at; exit 1 means that the archive has no such file.
name=$1
path=$2
read -r boot </proc/sys/kernel/random/boot_id
ahead=${quote(`${options.dataDirectory}/pg_wal/pgrecall/ahead.`)}$boot

take() {
  [ -f "$ahead/$name" ] && mv "$ahead/$name" "$path"
}
${announcedRunsScript('working', '"$ahead/pid"')}
${bellScript('rung', '"$ahead/unfinished/bell"', 'working')}

take && exit 0
starter=none
case $name in
*.*) ;;
*)
  if ! working; then
    # In a session of its own: what the server does to this script's process group does not concern it.
    detach=$(command -v setsid)
    \${detach:+"$detach"} ${quote(options.launcher)} wal prefetch "$name" "$ahead" --cluster ${quote(options.cluster)} --config ${quote(options.configFile)} --including --while ${quote(options.dataDirectory)} --idle-exit ${idleExitSeconds} </dev/null >/dev/null 2>&1 &
    starter=$!
  fi
  ;;
esac
tries=${polls}
while [ "$tries" -gt 0 ]; do
  if working; then
    [ -e "$ahead/$name.coming" ] || break
  else
    [ "$starter" != none ] && kill -0 "$starter" 2>/dev/null || break
  fi
  told=
  rung || sleep ${pollSeconds}
  [ "$told" = tick ] && tries=$((tries - ${pollsPerTick - 1}))
  take && exit 0
  tries=$((tries - 1))
done
take && exit 0
${quote(options.launcher)} wal get "$name" "$path" --cluster ${quote(options.cluster)} --config ${quote(options.configFile)} --ahead ${quote(options.dataDirectory)}
status=$?
[ "$status" -eq 0 ] && exit 0
[ "$status" -eq ${absentStatus} ] && exit 1
[ -e standby.signal ] && exit 1
[ "$status" -gt 125 ] && exit "$status"
exit 126
`;
}
