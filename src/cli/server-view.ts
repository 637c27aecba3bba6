import { spawnSync } from 'node:child_process';
import { asOwner } from '../server/as-owner.ts';
import type { ClusterConfig } from '../config/config.ts';
import type { CliContext } from './context.ts';

const timeoutMs = 60_000;

/**
 * Runs pgrecall as the server will when it archives: as its user, in its data directory, without this shell's
 * environment. Returns what is in the way, `undefined` where it reads the configuration and opens the repository.
 */
export function problemAsServer(
  cluster: ClusterConfig,
  dataDirectory: string,
  context: CliContext,
): { readonly message: string; readonly remedy: string } | undefined {
  const env = Object.fromEntries(
    ['PATH', 'LANG', 'LC_ALL', 'TZ'].flatMap((name) =>
      context.env[name] === undefined ? [] : [[name, context.env[name]]],
    ),
  );
  const words = ['list', cluster.name, '--config', cluster.configFile, '--json'];
  const { command, arguments: all, options } = asOwner(dataDirectory, context.launcher, words, env);
  const run = spawnSync(command, [...all], { ...options, encoding: 'utf8', timeout: timeoutMs });
  if (run.status === 0) return undefined;
  const error = errorIn(run.stdout);
  if (error)
    return { message: `${error.code}: ${error.message}`, remedy: error.hint ?? 'let the server’s user read it' };
  const said = run.error?.message ?? run.stderr.trim().split('\n').at(-1) ?? '';
  return {
    message: `it cannot run "${context.launcher}"${said === '' ? '' : `: ${said}`}`,
    remedy: 'the program, and every directory above it, have to be readable for the server’s user',
  };
}

function errorIn(
  text: string,
): { readonly code: string; readonly message: string; readonly hint?: string } | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: unknown; message?: unknown; hint?: unknown } };
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') return undefined;
    return {
      code: error.code,
      message: error.message,
      ...(typeof error.hint === 'string' ? { hint: error.hint } : {}),
    };
  } catch {
    return undefined;
  }
}
