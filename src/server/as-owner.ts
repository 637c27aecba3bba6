import { execFileSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PgrecallError } from '../errors/pgrecall-error.ts';

/** A command and the options of `spawn` that it needs. */
export interface OwnedCommand {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; uid?: number; gid?: number };
}

/**
 * How to run one of PostgreSQL's programs on a data directory: in it (the working directory of root may be closed
 * to the server's user), and, as root, as its owner, because PostgreSQL refuses to run as root. The owner's
 * supplementary groups count too, since Debian lets the server read the key of its certificate by one; only
 * `setpriv` gives them, so without it the program has none.
 *
 * Throws `server-start` where root owns the directory.
 */
export function asOwner(
  dataDirectory: string,
  command: string,
  arguments_: readonly string[],
  env: NodeJS.ProcessEnv,
): OwnedCommand {
  if (process.getuid?.() !== 0) return { command, arguments: arguments_, options: { cwd: dataDirectory, env } };
  const { uid, gid } = statSync(dataDirectory);
  if (uid === 0) {
    throw new PgrecallError('server-start', `"${dataDirectory}" belongs to root, and PostgreSQL does not run as root`, {
      hint: `give it to the server's user: chown -R postgres: ${dataDirectory}`,
    });
  }
  const user = passwdEntry(uid);
  const owned = user ? { ...env, HOME: user.home, USER: user.name, LOGNAME: user.name } : env;
  const setpriv = findProgram('setpriv', env);
  if (user && setpriv !== undefined) {
    return {
      command: setpriv,
      arguments: [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--', command, ...arguments_],
      options: { cwd: dataDirectory, env: owned },
    };
  }
  return { command, arguments: arguments_, options: { cwd: dataDirectory, env: owned, uid, gid } };
}

/** Where the first executable file of that name lies on the search path. */
export function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find((path) => isExecutable(path));
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function passwdEntry(uid: number): { readonly name: string; readonly home: string } | undefined {
  try {
    const line = execFileSync('getent', ['passwd', String(uid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [name, , , , , home] = line.trim().split(':');
    return name && home ? { name, home } : undefined;
  } catch {
    return undefined;
  }
}
