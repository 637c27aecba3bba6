import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';

/*
 * postmaster.opts: the command line with which a server was last started (postmaster.c, CreateOptsFile): the program,
 * then each argument between double quotes, which are not escaped within. It stays when the server is stopped.
 */

export interface ServerCommand {
  readonly program: string;
  readonly arguments: readonly string[];
}

/** `undefined` where no server was ever started on the directory. */
export function readServerCommand(dataDirectory: string): ServerCommand | undefined {
  try {
    return parseServerCommand(readFileSync(join(dataDirectory, 'postmaster.opts'), 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

export function parseServerCommand(text: string): ServerCommand | undefined {
  const line = text.replace(/\n$/, '');
  const begin = line.indexOf(' "');
  const program = begin < 0 ? line : line.slice(0, begin);
  if (program === '') return undefined;
  if (begin < 0) return { program, arguments: [] };
  if (!line.endsWith('"') || line.length < begin + 3) return undefined;
  return { program, arguments: line.slice(begin + 2, -1).split('" "') };
}

/** What the command line sets of itself: `-c name=value`, `--name=value`; the last one counts. */
export function settingsOf({ arguments: words }: ServerCommand): Map<string, string> {
  const found = new Map<string, string>();
  const take = (text: string): void => {
    const at = text.indexOf('=');
    if (at > 0) found.set(text.slice(0, at).replaceAll('-', '_').toLowerCase(), text.slice(at + 1));
  };
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i] ?? '';
    if (word === '-c') {
      i += 1;
      take(words[i] ?? '');
    } else if (word.startsWith('--')) {
      take(word.slice(2));
    } else if (word.startsWith('-c')) {
      take(word.slice(2));
    }
  }
  return found;
}

/** Where `-D` points: the directory of the configuration, most often the data directory itself. */
export function directoryOf({ arguments: words }: ServerCommand): string | undefined {
  let found: string | undefined;
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i] ?? '';
    if (word === '-c') i += 1;
    else if (word === '-D') {
      i += 1;
      found = words[i];
    } else if (word.startsWith('-D')) {
      found = word.slice(2);
    }
  }
  return found;
}
