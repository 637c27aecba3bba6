import type { Contender } from './contender.ts';
import { cp } from './cp.ts';
import { pgBackRestLz4, pgBackRestZst1, pgBackRestZst3 } from './pgbackrest.ts';
import { pgBasebackup, pgBasebackupLz4, pgBasebackupZstd } from './pg-basebackup.ts';
import { pgrecall, pgrecallEncrypted } from './pgrecall.ts';

/** In the order of a report's tables. */
const contenders: readonly Contender[] = [
  pgrecall,
  pgrecallEncrypted,
  pgBackRestLz4,
  pgBackRestZst1,
  pgBackRestZst3,
  pgBasebackup,
  pgBasebackupLz4,
  pgBasebackupZstd,
  cp,
];

/** Throws for a name that nobody has. */
export function chooseContenders(names: string | undefined): readonly Contender[] {
  if (names === undefined) return contenders;
  return names.split(',').map((name) => {
    const found = contenders.find((contender) => slug(contender) === name || contender.name === name);
    if (!found) throw new Error(`no contender is called "${name}"; there are: ${contenders.map(slug).join(', ')}`);
    return found;
  });
}

/** A name for a directory and for a command line: `pgbackrest-zst-1`. */
export function slug({ name }: Pick<Contender, 'name'>): string {
  return name.toLowerCase().replaceAll(' ', '-');
}
