import { readFileSync } from 'node:fs';

/*
 * What /proc says of a process and those that descend from it. A process that ends while it is looked at counts nothing.
 */

/** Sum of the anonymous memory of the descendants of `pid`, itself left out. */
export function treeAnonymousBytes(pid: number): number {
  let sum = 0;
  for (const child of childrenOf(pid)) {
    const kilobytes = /^RssAnon:\s+(\d+)/m.exec(readProc(child, 'status'))?.[1];
    sum += Number(kilobytes ?? 0) * 1024 + treeAnonymousBytes(child);
  }
  return sum;
}

/** CPU seconds of a process, of what it has started and waited for, and of its descendants that live. */
export function treeCpuSeconds(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + treeCpuSeconds(child), processCpuSeconds(pid));
}

/** The same without those that live. */
export function processCpuSeconds(pid: number): number {
  const stat = readProc(pid, 'stat');
  // utime, stime, cutime, cstime are fields 14 to 17; the name in the second may hold anything but ends at the last ')'.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond;
}

/** USER_HZ, the same on every architecture of Linux that PostgreSQL is packaged for. */
const ticksPerSecond = 100;

function childrenOf(pid: number): number[] {
  return (readProc(pid, `task/${pid}/children`).match(/\d+/g) ?? []).map(Number);
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
