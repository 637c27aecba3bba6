import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { restoreScriptPath } from '../../src/archive/restore-command.ts';
import { quote, type Contender, type Site } from './contender.ts';

const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));

export const pgrecall = makePgrecall(undefined);
export const pgrecallEncrypted = makePgrecall('a passphrase for a benchmark');

function makePgrecall(passphrase: string | undefined): Contender {
  return {
    name: passphrase === undefined ? 'pgrecall' : 'pgrecall encrypted',
    what: passphrase === undefined ? 'as init sets it up' : 'as init sets it up with a passphrase: AES-256-GCM',
    versionCommand: `${quote(launcher)} --version`,

    async setUp(site) {
      const { directory, repository, source, jobs } = site;
      writeFileSync(configFile(site), `state_directory = "${directory}/state"\njobs = ${jobs}\n`, { mode: 0o600 });
      const words = ['init', 'main', '--config', configFile(site), '--connection', source.uri];
      words.push('--repository', repository, '--data-directory', source.dataDirectory, '--apply');
      if (passphrase !== undefined) {
        const file = join(directory, 'passphrase');
        writeFileSync(file, passphrase, { mode: 0o600 });
        words.push('--passphrase-file', file);
      }
      await source.drain();
      execFileSync(launcher, words, { env: site.env, stdio: ['ignore', 'ignore', 'pipe'] });
    },

    backup: (site) => `${program(site)} backup main --jobs ${site.jobs}`,
    restore: (site, target) => `${program(site)} restore main --to ${quote(target)} --jobs ${site.jobs}`,

    increments: {
      backup: (site) => `${program(site)} backup main --type incremental --jobs ${site.jobs}`,
      independent: (site) => `${program(site)} backup main --independent --jobs ${site.jobs}`,
      restoreOver: (site, target) => `${program(site)} restore main --delta --to ${quote(target)} --jobs ${site.jobs}`,
    },

    wal: {
      archiveCommand: (site) => `${stateDirectory(site)}/archive-command "%p" "%f"`,
      restoreCommand: (_, target) => `${restoreScriptPath(target)} "%f" "%p"`,
    },

    /** An archiver that the source's archive_command has started looks at the source's WAL, and would be waited for. */
    async endProcesses(site) {
      const pid = archiverOf(site);
      if (pid === undefined) return;
      process.kill(pid, 'SIGTERM');
      while (archiverOf(site) !== undefined) await sleep(20);
    },
  };
}

function program(site: Site): string {
  return `${quote(launcher)} --config ${quote(configFile(site))}`;
}

function configFile({ directory }: Site): string {
  return join(directory, 'pgrecall.toml');
}

function stateDirectory({ directory }: Site): string {
  return join(directory, 'state', 'main');
}

function archiverOf(site: Site): number | undefined {
  try {
    const announced = readFileSync(join(stateDirectory(site), 'archiver', 'pid'), 'utf8');
    const pid = Number.parseInt(announced, 10);
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}
