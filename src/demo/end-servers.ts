import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Programs } from '../server/programs.ts';
import { stopServer } from '../server/stop-server.ts';
import type { Workplace } from './workplace.ts';

const stopTimeoutMs = 20_000;
const pollMs = 20;

/**
 * Stops the servers of the demo, then what archives and fetches WAL for them: those work ahead of the server and
 * would only end by themselves some time after it.
 */
export async function endServers(workplace: Workplace, programs: Programs): Promise<void> {
  for (const dataDirectory of [workplace.data, workplace.restored]) {
    await stopServer({ programs, dataDirectory, mode: 'immediate', timeoutMs: stopTimeoutMs });
  }
  const deadline = performance.now() + stopTimeoutMs;
  for (let asked = new Set<number>(); performance.now() < deadline;) {
    const running = walProcesses(workplace.configFile);
    if (running.length === 0) return;
    for (const pid of running.filter((candidate) => !asked.has(candidate))) end(pid);
    asked = new Set(running);
    await sleep(pollMs);
  }
}

/** Processes of `pgrecall wal …` that were started with the demo's own configuration. */
function walProcesses(configFile: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const words = commandLineOf(pid);
      return words.includes('wal') && words.includes(configFile);
    });
}

function commandLineOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It has ended meanwhile.
    return [];
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has ended meanwhile.
  }
}
