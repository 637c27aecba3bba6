import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, readSync } from 'node:fs';

/*
 * What every measurement begins with: nothing waits to be written, what will be read is in the page cache, and hardly any
 * memory is free. The last is for virtual machines that give free memory back to their host: the first touch of such a page
 * is so slow that whoever runs first after much was deleted would look half as fast.
 */

const leftBytes = 700 * 1_048_576;
const junkBytes = 128 * 2 ** 30;
const chunk = Buffer.alloc(1_048_576);
let junkAt = 0;

/** `read`: files and directories; `junkFile`: a sparse file to fill memory with, made where it is missing. */
export function preparePageCache(read: readonly string[], junkFile: string): void {
  execFileSync('sync');
  fillFreeMemory(junkFile);
  const quoted = read.map((path) => `'${path}'`).join(' ');
  // The second reading marks the pages as in use.
  for (let i = 0; i < 2; i += 1) {
    execFileSync('sh', ['-c', `find ${quoted} -type f -print0 | xargs -0 -r cat >/dev/null`]);
  }
}

function fillFreeMemory(junkFile: string): void {
  const descriptor = openSync(junkFile, existsSync(junkFile) ? 'r' : 'w+');
  try {
    if (junkAt === 0) makeSparse(descriptor);
    // Not for ever: others may free what is filled here.
    for (let left = freeBytes() - leftBytes; left > 0; left -= chunk.length) {
      readSync(descriptor, chunk, 0, chunk.length, junkAt);
      junkAt = (junkAt + chunk.length) % junkBytes;
    }
  } finally {
    closeSync(descriptor);
  }
}

function makeSparse(descriptor: number): void {
  try {
    ftruncateSync(descriptor, junkBytes);
  } catch {
    // It was opened for reading: it is there in full.
  }
}

function freeBytes(): number {
  return Number(/^MemFree:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
}
