import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Both ends of a pipe, as descriptors of this process. */
export interface Pipe {
  readonly reader: number;
  readonly writer: number;
}

/**
 * A pipe from which a thread can read and wait, which Node offers none of: one with a name, which is gone when it is open.
 * The name is for nobody else to see.
 */
export function openPipe(): Pipe {
  const directory = mkdtempSync(join(tmpdir(), 'pgrecall-pipe-'));
  try {
    const path = join(directory, 'pipe');
    execFileSync('mkfifo', ['-m', '600', path], { stdio: 'ignore' });
    // Each end can be opened for waiting once the other one is there.
    const other = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY);
    const reader = openSync(path, constants.O_RDONLY);
    closeSync(other);
    return { reader, writer };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
