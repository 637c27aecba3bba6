import { PgrecallError } from '../errors/pgrecall-error.ts';
import { changeRecord } from './change-record.ts';
import type { RunCommand } from './command.ts';
import { textOption } from './options.ts';

const mostCharacters = 10_000;

/** `pgrecall annotate CLUSTER BACKUP --note TEXT`; an empty text takes the note away. */
export const runAnnotate: RunCommand = async (arguments_, context) => {
  const note = textOption(arguments_.options, 'note');
  if (note === undefined)
    throw new PgrecallError('usage', '--note is missing', { hint: '--note "" takes a note away' });
  if (note.length > mostCharacters) {
    throw new PgrecallError('usage', `the note has ${note.length} characters; at most ${mostCharacters} are taken`);
  }
  return changeRecord(arguments_, context, { note });
};
