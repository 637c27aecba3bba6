import { nameOf, sqlWords } from './sql-words.ts';

/** What of a `CREATE DATABASE` decides how its text is stored and ordered, in the words of PostgreSQL. */
const localeWords = [
  ...['ENCODING', 'LOCALE_PROVIDER', 'LOCALE', 'LC_COLLATE', 'LC_CTYPE', 'ICU_LOCALE', 'ICU_RULES', 'BUILTIN_LOCALE'],
] as const;
export type LocaleWord = (typeof localeWords)[number];
export type DatabaseLocale = Readonly<Partial<Record<LocaleWord, string>>>;

/** From the statement that pg_dump keeps in an archive. */
export function parseDatabaseLocale(createDatabase: string): DatabaseLocale {
  const words = [...sqlWords(createDatabase)];
  const found: Partial<Record<LocaleWord, string>> = {};
  words.forEach((word, at) => {
    const known = localeWords.find((name) => word.kind === 'word' && word.text === name);
    const value = words[at + 2];
    if (!known || words[at + 1]?.text !== '=' || !value) return;
    const text = value.kind === 'string' ? value.text.slice(1, -1).replaceAll("''", "'") : nameOf(value);
    if (text !== undefined) found[known] = text;
  });
  return found;
}

/** For a `CREATE DATABASE` on a server of that version. */
export function formatDatabaseLocale(locale: DatabaseLocale, major: number): string {
  return localeWords
    .filter((word) => locale[word] !== undefined && !(major < 15 && word === 'LOCALE_PROVIDER'))
    .map((word) => {
      const value = locale[word] ?? '';
      return word === 'LOCALE_PROVIDER'
        ? `${word} ${/^\w+$/.exec(value)?.[0]}`
        : `${word} '${value.replaceAll("'", "''")}'`;
    })
    .join(' ');
}

/** `libc C`, `icu en-US`. */
export function describeDatabaseLocale(locale: DatabaseLocale): string {
  const { LOCALE_PROVIDER: provider = 'libc' } = locale;
  const own = { icu: locale.ICU_LOCALE, builtin: locale.BUILTIN_LOCALE }[provider];
  const { LC_COLLATE: collate = locale.LOCALE, LC_CTYPE: type = locale.LOCALE } = locale;
  return `${provider} ${own ?? (collate === type ? collate : `${collate}, ${type}`) ?? '?'}`;
}
