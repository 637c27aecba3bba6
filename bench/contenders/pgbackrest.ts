import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { quote, type Contender, type Site } from './contender.ts';

export const pgBackRestLz4 = pgBackRest('lz4', 1);
export const pgBackRestZst1 = pgBackRest('zst', 1);
export const pgBackRestZst3 = pgBackRest('zst', 3);
export const pgBackRestLz4Blocks = pgBackRest('lz4', 1, true);
export const pgBackRestZst3Blocks = pgBackRest('zst', 3, true);

function pgBackRest(type: string, level: number, blocks = false): Contender {
  const how = blocks ? 'repo-bundle, repo-block' : 'repo-bundle';
  return {
    name: `pgBackRest ${type} ${level}${blocks ? ' blocks' : ''}`,
    what: `compress-type=${type}, compress-level=${level}, ${how}, process-max as cores, archive-async`,
    versionCommand: 'pgbackrest version',
    // Block increments came with 2.46.
    ...(blocks && { isPossible: (version) => Number(/ 2\.(\d+)/.exec(version)?.[1] ?? 0) >= 46 }),

    async setUp(site) {
      for (const name of ['log', 'lock', 'spool']) mkdirSync(join(site.directory, name));
      writeFileSync(configFile(site), configuration(site, { type, level, blocks }));
      execFileSync('sh', ['-c', `${program(site)} stanza-create`], {
        env: site.env,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      await site.source.archiveWith(`${program(site)} archive-push "%p"`);
    },

    backup: (site) => `${program(site)} backup --type=full`,
    restore: (site, target) => `${program(site)} restore --pg1-path=${quote(target)}`,

    increments: {
      backup: (site) => `${program(site)} backup --type=incr`,
      independent: (site) => `${program(site)} backup --type=full`,
      restoreOver: (site, target) => `${program(site)} restore --delta --pg1-path=${quote(target)}`,
    },

    wal: {
      archiveCommand: (site, dataDirectory) => `${program(site)} --pg1-path=${dataDirectory} archive-push "%p"`,
      restoreCommand: (site, target) => `${program(site)} --pg1-path=${target} archive-get "%f" "%p"`,
    },
  };
}

function configFile({ directory }: Site): string {
  return join(directory, 'pgbackrest.conf');
}

function program(site: Site): string {
  return `pgbackrest --config=${configFile(site)} --stanza=main`;
}

function configuration(
  { directory, repository, source, jobs }: Site,
  { type, level, blocks }: { readonly type: string; readonly level: number; readonly blocks: boolean },
): string {
  return `[global]
repo1-path=${repository}
repo1-retention-full=9
repo1-bundle=y
${blocks ? 'repo1-block=y\n' : ''}log-path=${directory}/log
log-level-file=off
log-level-console=warn
lock-path=${directory}/lock
spool-path=${directory}/spool
process-max=${jobs}
start-fast=y
compress-type=${type}
compress-level=${level}
archive-async=y

[main]
pg1-path=${source.dataDirectory}
pg1-socket-path=${source.socketDirectory}
pg1-port=${source.port}
pg1-user=postgres
`;
}
