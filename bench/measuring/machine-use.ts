import { readFileSync } from 'node:fs';

/** CPU seconds of the whole machine since it started, waiting for disks left out; and those that a host took away. */
export function machineCpuSeconds(): { readonly busy: number; readonly stolen: number } {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return { busy: (user + nice + system + irq + softirq) / 100, stolen: steal / 100 };
}
