import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Options } from './command.ts';
import { textOption } from './options.ts';

const letters = ['', 'K', 'M', 'G', 'T'];

/** `2G`, `2GiB` are powers of 1024, `2GB` of 1000, as `split` of coreutils has them; bytes without a unit. Throws `usage`. */
export function sizeOption(options: Options, name: string): number | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  const [, digits = '', letter = '', rest = ''] = /^(\d+(?:\.\d+)?) ?([KMGT]?)(i?B)?$/i.exec(text.trim()) ?? [];
  const power = letters.indexOf(letter.toUpperCase());
  const bytes = Math.floor(Number(digits) * (/^b$/i.test(rest) ? 1000 : 1024) ** power);
  if (digits !== '' && bytes >= 1 && Number.isSafeInteger(bytes)) return bytes;
  throw new PgrecallError('usage', `--${name} is "${text}"; expected a size as 2G, 650M or 4GB`);
}
