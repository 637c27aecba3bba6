import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { quote, type Contender, type Site } from './contender.ts';

/** By rsync on the same machine, the one way in which Barman has increments before PostgreSQL 17: whole files. */
export const barman: Contender = {
  name: 'Barman',
  what: 'backup_method=local-rsync, reuse_backup=link, as many jobs as cores; nothing compressed, WAL by cp',
  versionCommand: 'barman --version',

  async setUp(site) {
    const { directory, repository, source, env } = site;
    for (const name of ['none.d', 'locks']) mkdirSync(join(directory, name));
    writeFileSync(configFile(site), configuration(site));
    // The first one makes its directories.
    run(`${program(site)} check main || true`, env);
    await source.archiveWith(`cp "%p" "${repository}/main/incoming/%f"`);
    run(`${program(site)} switch-wal --force --archive main`, env);
  },

  backup: (site) => backUp(site),
  restore: (site, target) => `rmdir ${quote(target)} && ${recover(site, target)}`,

  increments: {
    backup: (site) => backUp(site),
    independent: (site) => backUp(site, '--reuse-backup=off'),
    restoreOver: recover,
  },
};

function backUp(site: Site, option = '--reuse-backup=link'): string {
  return `${program(site)} backup ${option} --jobs ${site.jobs} main && ${program(site)} archive-wal main`;
}

function recover(site: Site, target: string): string {
  return `${program(site)} recover --jobs ${site.jobs} main latest ${quote(target)}`;
}

function program(site: Site): string {
  return `barman -q -c ${configFile(site)}`;
}

function run(command: string, env: NodeJS.ProcessEnv): void {
  execFileSync('sh', ['-c', command], { env, stdio: ['ignore', 'ignore', 'pipe'] });
}

function configFile({ directory }: Site): string {
  return join(directory, 'barman.conf');
}

function configuration({ directory, repository, source }: Site): string {
  const connection = `host=${source.socketDirectory} port=${source.port} user=postgres dbname=postgres`;
  return `[barman]
barman_user = postgres
barman_home = ${repository}
barman_lock_directory = ${directory}/locks
configuration_files_directory = ${directory}/none.d
log_file = ${directory}/barman.log

[main]
description = the source
conninfo = ${connection}
archiver = on
backup_method = local-rsync
reuse_backup = link
immediate_checkpoint = true
`;
}
