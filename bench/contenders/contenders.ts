import { execFileSync } from 'node:child_process';
import { barman } from './barman.ts';
import type { Contender } from './contender.ts';
import { cp } from './cp.ts';
import {
  pgBackRestLz4,
  pgBackRestLz4Blocks,
  pgBackRestZst1,
  pgBackRestZst3,
  pgBackRestZst3Blocks,
} from './pgbackrest.ts';
import { pgBasebackup, pgBasebackupLz4, pgBasebackupZstd } from './pg-basebackup.ts';
import { pgrecall, pgrecallEncrypted } from './pgrecall.ts';

/** In the order of a report's tables. */
const contenders: readonly Contender[] = [
  pgrecall,
  pgrecallEncrypted,
  pgBackRestLz4,
  pgBackRestZst1,
  pgBackRestZst3,
  pgBackRestLz4Blocks,
  pgBackRestZst3Blocks,
  barman,
  pgBasebackup,
  pgBasebackupLz4,
  pgBasebackupZstd,
  cp,
];

/** Those that are named, else all that the versions on this machine can play. Throws for a name that nobody has. */
export function chooseContenders(names: string | undefined): readonly Contender[] {
  if (names === undefined) {
    return contenders.filter(({ isPossible, versionCommand }) => {
      return isPossible?.(execFileSync('sh', ['-c', versionCommand], { encoding: 'utf8' })) ?? true;
    });
  }
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
