import { execFile } from 'node:child_process';
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { isErrno } from '../errors/pgrecall-error.ts';

/*
 * How a process that works ahead wakes a script that waits for it: a named pipe, of which the script reads a line. That
 * takes no process, where each look at intervals takes a `sleep` of two milliseconds, and no time.
 *
 *   (empty line)   something is done
 *   tick           a second has passed, in which the process lived
 *
 * The process keeps the pipe open, both ends of it: a line that nobody waits for stays until someone does, and whoever
 * waits when the process dies reads the end of the file, at once. A script that opens a pipe to read it waits until
 * there is a writer, which a process that has just died will never be; so it is a writer itself while it opens the pipe,
 * and looks whether the process runs when it is none any more.
 *
 * The bell only shortens waiting. Where there is none, because mkfifo(1) or the file system has none, the script
 * looks at intervals.
 */

const linesLimit = 65_536;

export class Bell {
  readonly #path: string;
  #descriptor: number | undefined;
  #closed = false;

  /** At `path`, in place of what another process left there. It is silent until it hangs. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Never rejects. */
  async hang(): Promise<void> {
    this.#remove();
    try {
      await promisify(execFile)('mkfifo', ['-m', '600', this.#path]);
      if (this.#closed) this.#remove();
      else this.#descriptor = openSync(this.#path, constants.O_RDWR | constants.O_NONBLOCK);
    } catch {
      this.#remove();
    }
  }

  /** Something is done. */
  ring(): void {
    this.#say('\n');
  }

  /** To be called every second or so: who waits counts them. Takes back what nobody has waited for. */
  tick(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    this.#unlessFullOrEmpty(() => readSync(descriptor, Buffer.allocUnsafe(linesLimit)));
    this.#say('tick\n');
  }

  #say(line: string): void {
    const descriptor = this.#descriptor;
    if (descriptor !== undefined) this.#unlessFullOrEmpty(() => writeSync(descriptor, line));
  }

  #unlessFullOrEmpty(action: () => void): void {
    try {
      action();
    } catch (error) {
      // A bell that is broken had better be gone.
      if (!isErrno(error, 'EAGAIN')) this.close();
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#remove();
  }

  #remove(): void {
    try {
      unlinkSync(this.#path);
    } catch {
      // Was not there, or is in nobody's way: what is no pipe the script does not open.
    }
  }
}

/**
 * A function of sh that waits for the bell at `path`, a quoted word, and leaves what it said in `told`; false, at once,
 * where there is none, or nobody at it: `working` is the function that says whether the process runs.
 */
export function bellScript(name: string, path: string, working: string): string {
  return `${name}() {
  [ -p ${path} ] || return 1
  # Opened for writing as well, a pipe opens at once; open for reading only, it ends with the process at the bell.
  command exec 3<>${path} 4<${path} 3<&- || return 1
  ${working} && read -r told <&4
  set -- "$?"
  exec 4<&-
  return "$1"
}`;
}
