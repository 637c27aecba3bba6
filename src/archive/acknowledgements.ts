import { mkdirSync, readdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';
import { announcement } from './announced-process.ts';
import { archiverDirectory } from './archive-command.ts';
import { Bell } from './bell.ts';

/**
 * What the archiver tells the script (archive-command.ts). Nothing here need survive a power cut: what is lost is
 * pushed again and found to be there already. Files appear whole, by rename.
 */
export class Acknowledgements {
  readonly directory: string;
  /** At which the script waits, where it hangs. */
  readonly bell: Bell;

  constructor(stateDirectory: string) {
    this.directory = archiverDirectory(stateDirectory);
    this.bell = new Bell(join(this.directory, 'bell'));
    for (const name of ['ok', 'failed']) mkdirSync(join(this.directory, name), { recursive: true, mode: 0o700 });
  }

  /** `walDirectory`: of the server whose files are looked after; no other's wait for us. */
  announce(pid: number, walDirectory: string): void {
    remove(join(this.directory, 'wal'));
    symlinkSync(resolve(walDirectory), join(this.directory, 'wal'));
    this.#write('pid', announcement(pid));
  }

  withdraw(): void {
    remove(join(this.directory, 'pid'));
    remove(join(this.directory, 'wal'));
  }

  stored(name: string, identity: string): void {
    this.#write(join('ok', name), `${identity}\n`);
    remove(join(this.directory, 'failed', name));
    this.bell.ring();
  }

  failed(name: string, identity: string, reason: string): void {
    this.#write(join('failed', name), `${identity}\n${reason}\n`);
    this.bell.ring();
  }

  /** Forgets those of files that no longer wait: the server has taken note of them. */
  keepOnly(waiting: ReadonlySet<string>): void {
    for (const folder of ['ok', 'failed']) {
      for (const name of readdirSync(join(this.directory, folder))) {
        if (!waiting.has(name)) remove(join(this.directory, folder, name));
      }
    }
  }

  #write(name: string, text: string): void {
    const path = join(this.directory, name);
    const temporary = join(this.directory, `tmp-${process.pid}`);
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, path);
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
