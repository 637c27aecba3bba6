import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectionOptions, connectionWords } from '../connection/connection-uri.ts';
import { writeDurably } from '../restore/durable.ts';
import { passfileLine, primaryConninfo } from '../standby/conninfo-plan.ts';

/** How the standby connects; a password goes to a passfile beside the state of the cluster. */
export interface StandbyConninfo {
  readonly conninfo: string;
  /** To be written; `undefined` where no password is given, and the server's user has a passfile or needs none. */
  readonly passfile: { readonly path: string; readonly text: string } | undefined;
}

export function standbyConninfo(
  connection: string,
  options: { readonly name: string; readonly stateDirectory: string; readonly env: NodeJS.ProcessEnv },
): StandbyConninfo {
  const { name, stateDirectory, env } = options;
  const { host, port, user, password = env['PGPASSWORD'] } = connectionOptions(connection, env);
  const passfile =
    password === undefined
      ? undefined
      : { path: join(stateDirectory, `${name.replaceAll('/', '_')}.pgpass`), text: passfileLine(user, password) };
  // The server's own environment is another: what ours says of the place of passwords has to stand there.
  const path = passfile?.path ?? env['PGPASSFILE'];
  return {
    conninfo: primaryConninfo({ words: connectionWords(connection), host, port, user, name, passfile: path }),
    passfile,
  };
}

export function writePassfile({ passfile }: StandbyConninfo, stateDirectory: string): void {
  if (!passfile) return;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  writeDurably(passfile.path, passfile.text, { mode: 0o600 });
}
