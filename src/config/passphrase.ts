import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';

/** Where the passphrase of a repository comes from. */
export type PassphraseSource =
  | { readonly kind: 'none' }
  /** `PGRECALL_PASSPHRASE`. */
  | { readonly kind: 'environment'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly command: string };

const commandTimeoutMs = 60_000;

/** Asks the source. Throws `config-invalid` where that fails; what was read is in no message. */
export async function readPassphrase(source: PassphraseSource): Promise<string | undefined> {
  switch (source.kind) {
    case 'none':
      return undefined;
    case 'environment':
      return source.text;
    case 'file':
      return required(readFile(source.path), `the passphrase file "${source.path}"`);
    case 'command':
      return required(await runCommand(source.command), 'what passphrase_command printed');
  }
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const hint = isErrno(error, 'ENOENT')
      ? 'pgrecall init … --generate-passphrase makes one for a new repository; of one that is there, bring the file back from a copy'
      : 'pgrecall, and the server that archives through it, have to be able to read it';
    throw new PgrecallError('config-invalid', `cannot read the passphrase file "${path}"`, { hint, cause: error });
  }
}

async function runCommand(command: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command], { timeout: commandTimeoutMs });
    return stdout;
  } catch (error) {
    // Node's own message repeats the command, which may hold a secret itself.
    const { code, signal, stderr } = error as { code?: unknown; signal?: unknown; stderr?: string };
    const how = typeof signal === 'string' ? `was ended by ${signal}` : `ended with status ${String(code)}`;
    const said = stderr?.trim().split('\n').at(-1) ?? '';
    throw new PgrecallError('config-invalid', `passphrase_command ${how}${said === '' ? '' : `: ${said}`}`);
  }
}

/** Editors end a file with a newline, which is no part of the passphrase. */
function required(text: string, what: string): string {
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase === '') throw new PgrecallError('config-invalid', `${what} is empty`);
  return passphrase;
}
