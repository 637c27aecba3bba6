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

/**
 * CPU seconds that a process has used, its children that ended and were waited for, and those that live: of a server,
 * everything that it did, parallel workers and backends included.
 */
export function treeCpuSeconds(pid: number): number {
  const stat = readProc(pid, 'stat');
  // utime, stime, cutime, cstime are fields 14 to 17; the name in the second may hold anything but ends at the last ')'.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  let seconds = fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond;
  for (const child of childrenOf(pid)) seconds += treeCpuSeconds(child);
  return seconds;
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
