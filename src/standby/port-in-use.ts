import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { PgrecallError } from '../errors/pgrecall-error.ts';

const connectMs = 1000;

/**
 * Throws `port-taken` where a server of this host answers at the port, by a socket of those directories or over TCP, where
 * that counts: a server that listens to no address needs only its socket.
 */
export async function requireFreePort(
  port: number,
  socketDirectories: readonly string[],
  { overTcp = true }: { readonly overTcp?: boolean } = {},
): Promise<void> {
  for (const directory of socketDirectories) {
    const path = `${directory}/.s.PGSQL.${port}`;
    // Where a server has crashed, its socket stays; nobody answers then.
    if (existsSync(path) && (await answers({ path }))) throw taken(port, path);
  }
  if (overTcp && (await answers({ port, host: '127.0.0.1' }))) throw taken(port, `127.0.0.1:${port}`);
}

function taken(port: number, where: string): PgrecallError {
  return new PgrecallError('port-taken', `port ${port} is taken: a server answers at ${where}`, {
    hint: 'say another one: --port',
    details: { port, where },
  });
}

async function answers(
  at: { readonly path: string } | { readonly port: number; readonly host: string },
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ ...at, timeout: connectMs });
    const end = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', end(true));
    socket.on('error', end(false));
    socket.on('timeout', end(false));
  });
}
