import { startTicksOf } from '../repository/lock-holder.ts';

/*
 * How a script tells whether the process that announced itself in a file still runs. The number alone
 * would not do: after a crash another process may have it, soon after a restart of the system above all, and
 * the script would wait for that one with every file. So the file has
 *
 *   <pid> <start>     clock ticks from boot to its start: field 22 of /proc/<pid>/stat
 */

/** The line of a process that announces itself. */
export function announcement(pid: number): string {
  return `${pid} ${startTicksOf(pid) ?? ''}\n`;
}

/** A function of sh that says whether the process runs that announced itself in the file `path`; it starts none. */
export function announcedRunsScript(name: string, path: string): string {
  return `${name}() {
  read -r pid start 2>/dev/null <${path} && [ -n "$start" ] && read -r line 2>/dev/null <"/proc/$pid/stat" || return 1
  # The program's name, in parentheses, may hold anything; the state follows it, and 19 fields on the start.
  set -- \${line##*) }
  [ "$1" != Z ] && [ "\${20}" = "$start" ]
}`;
}
