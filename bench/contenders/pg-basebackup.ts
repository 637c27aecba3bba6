import { quote, type Contender } from './contender.ts';

export const pgBasebackup: Contender = {
  name: 'pg_basebackup',
  what: 'plain format, nothing compressed; restored by cp -a',
  versionCommand: 'pg_basebackup --version',
  async setUp() {},
  backup: ({ repository }) => `pg_basebackup --pgdata=${quote(`${repository}/full`)} --checkpoint=fast`,
  restore: ({ repository }, target) => `cp -a ${quote(`${repository}/full/.`)} ${quote(target)}`,
};

export const pgBasebackupLz4 = compressing('lz4', 'client-lz4', 'lz4');
export const pgBasebackupZstd = compressing('zstd', 'client-zstd:level=1,workers=2', 'zst');

function compressing(program: string, method: string, suffix: string): Contender {
  return {
    name: `pg_basebackup ${program}`,
    what: `tar format, --compress=${method}; restored by ${program} and tar`,
    versionCommand: 'pg_basebackup --version',
    async setUp() {},
    backup: ({ repository }) =>
      `pg_basebackup --pgdata=${quote(`${repository}/full`)} --checkpoint=fast --format=tar --compress=${method}`,
    restore({ repository }, target) {
      const [from, to] = [`${repository}/full`, quote(target)];
      const base = `${program} -q -dc ${quote(`${from}/base.tar.${suffix}`)} | tar -C ${to} -xf -`;
      return `${base} && tar -C ${to}/pg_wal -xf ${quote(`${from}/pg_wal.tar`)}`;
    },
  };
}
