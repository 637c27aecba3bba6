import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import type { Contender } from '../contenders/contender.ts';

/** What a report has to say of the machine and the programs, as a list in Markdown. */
export function describeSetting(
  contenders: readonly Contender[],
  options: { readonly directory: string; readonly jobs: number; readonly env: NodeJS.ProcessEnv; readonly date: Date },
): string {
  const { directory, jobs, env, date } = options;
  const cores = cpus();
  const fileSystem = firstLine('df', ['--output=fstype', directory], env, 1);
  const lines = [
    `${date.toISOString().slice(0, 10)}; ${cores.length} × ${cores[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory, ${fileSystem}, Linux ${release()}; ${jobs} processes or threads`,
    `source: ${firstLine('postgres', ['--version'], env)}`,
    ...contenders.map(({ name, what, versionCommand }) => {
      const version = firstLine('sh', ['-c', versionCommand], env);
      return `${name}: ${what} (${version.includes(name) ? version : version.replace(/^.*\(GNU/, 'GNU').trim()})`;
    }),
  ];
  return lines.map((line) => `- ${line}`).join('\n');
}

function firstLine(program: string, arguments_: readonly string[], env: NodeJS.ProcessEnv, line = 0): string {
  return execFileSync(program, arguments_, { env, encoding: 'utf8' }).split('\n')[line]?.trim() ?? '';
}
