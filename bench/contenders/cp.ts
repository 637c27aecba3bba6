import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { quote, type Contender } from './contender.ts';

/** What the documentation of PostgreSQL shows first. Nothing is compressed, nothing is checked. */
export const cp: Contender = {
  name: 'cp',
  what: 'cp -a between pg_backup_start and pg_backup_stop; WAL by cp, sync, mv',
  versionCommand: 'cp --version',

  async setUp({ repository }) {
    mkdirSync(join(repository, 'wal'));
  },

  backup({ repository, source, directory }) {
    const [full, copied] = [quote(join(repository, 'full')), quote(join(directory, 'copied'))];
    const names = 'ls -A | grep -v -x -e pg_wal -e postmaster.pid -e postmaster.opts';
    const copy = `cd ${quote(source.dataDirectory)} && ${names} | xargs -d "\\n" cp -a -t ${full} && touch ${copied}`;
    const session = [
      "SELECT pg_backup_start('cp', true)",
      `\\! ${copy}`,
      `\\o ${join(repository, 'full', 'backup_label')}`,
      'SELECT labelfile FROM pg_backup_stop(true)',
    ];
    const commands = session.map((command) => `-c ${quote(command)}`).join(' ');
    return `mkdir -p ${full}/pg_wal && psql -XAtq -v ON_ERROR_STOP=1 ${commands} && [ -e ${copied} ]`;
  },

  restore({ repository }, target) {
    return `cp -a ${quote(`${repository}/full/.`)} ${quote(target)}`;
  },

  wal: {
    archiveCommand({ repository }) {
      const to = `${repository}/wal/%f`;
      return `cp "%p" "${to}.tmp" && sync "${to}.tmp" && mv "${to}.tmp" "${to}"`;
    },
    restoreCommand: ({ repository }) => `cp "${repository}/wal/%f" "%p"`,
  },
};
