import { spawn, type ChildProcess } from 'node:child_process';

/*
 * No test may leave a server behind, whatever becomes of its process: a failed assertion, a time limit, kill -9. So a
 * shell waits at the other end of a pipe for the process to end, then ends the servers on the data directories that it
 * was told of and removes the directory of the process.
 */
const script = `
directories=
newline='
'
while read -r directory; do directories="$directories$directory$newline"; done
pids() {
  printf %s "$directories" | while read -r directory; do
    pid=$(head -n 1 "$directory/postmaster.pid" 2>/dev/null) || continue
    [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$directory")" ] && echo "$pid"
  done
}
for pid in $(pids); do kill -QUIT "$pid"; done
for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -z "$(pids)" ] && break; sleep 0.1; done
for pid in $(pids); do kill -KILL "$pid"; done
rm -rf "$1"
`;

/** Watches over the servers of this process, and over the directory that holds them. */
export class ServerGuard {
  readonly #shell: ChildProcess;

  constructor(root: string) {
    this.#shell = spawn('sh', ['-c', script, 'guard', root], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    this.#shell.unref();
    // A pipe keeps the process alive unless told otherwise; the type does not say that it can be.
    (this.#shell.stdin as unknown as { unref(): void }).unref();
  }

  watch(dataDirectory: string): void {
    this.#shell.stdin?.write(`${dataDirectory}\n`);
  }
}
