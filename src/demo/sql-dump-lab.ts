import { compareDatabases, dump, load, makeDatabases, setUpRepository } from './dump-steps.ts';
import { performPlay, type PlayOptions, type PlayReport } from './play.ts';
import type { Practice } from './practice.ts';
import type { Check } from './proof.ts';
import { makeCluster, makeDatabase } from './set-up-steps.ts';
import { names } from './workplace.ts';

/*
 * The first practice: the DVD rental database is dumped as an SQL script and as a tar archive, and restored from both, into
 * databases of their own. What PostgreSQL's own programs would be typed for it stands beside each command.
 */

const databases = { script: 'backupscript', tar: 'backuptar' } as const;

/** Throws as `performPlay` does. */
export async function playSqlDumpLab(options: PlayOptions): Promise<PlayReport> {
  const { report } = await performPlay(options, {
    subject: 'One database, dumped as a script and as a tar archive, and loaded from both',
    act,
    outcome: 'Both copies are the original, row by row.',
    lookAround: [
      `pg_ctl -D ${names.data} -l ${names.serverLog} start`,
      `pgrecall list ${names.cluster}`,
      `psql -h ${options.directory} -U postgres ${databases.tar}`,
    ],
  });
  return report;
}

async function act(practice: Practice): Promise<{ readonly checks: readonly Check[] }> {
  const { story, shell } = practice;
  await makeCluster(practice);
  await makeDatabase(practice);
  await setUpRepository(practice);
  await story.step(
    'Two empty databases',
    'One for each of the two ways back. Empty means empty: template1 may have something, template0 has not.',
    async () => makeDatabases(practice, [databases.script, databases.tar]),
  );
  let script = '';
  let tar = '';
  await story.step(
    'The dump, both ways',
    'pg_dump reads the database as of one moment while everybody works on. A script is SQL, for psql; a tar archive is for ' +
      'pg_restore, which can choose from it. What is the same in both is stored once.',
    async () => {
      story.say(`(by hand: pg_dump ${names.database} > dvdscriptdump)`);
      script = await dump(practice, '--format', 'plain', '--note', 'script');
      story.say(`(by hand: pg_dump -Ft ${names.database} > dvdtardump.tar)`);
      tar = await dump(practice, '--format', 'tar', '--note', 'tar');
      await shell.pgrecall('list', names.cluster);
      story.say('An archive has a table of contents, a script has none:');
      await shell.pgrecall('show', names.cluster, tar);
    },
  );
  await story.step(
    'Back from the script',
    'psql runs it in one transaction: it is committed when the last byte has been checked, or nothing has happened.',
    async () => {
      story.say(`(by hand: psql ${databases.script} < dvdscriptdump)`);
      await load(practice, script, databases.script);
    },
  );
  await story.step(
    'Back from the tar archive',
    'pg_restore makes the tables, copies the rows, then makes keys and indexes. A script it would refuse, as psql the archive.',
    async () => {
      story.say(`(by hand: pg_restore -d ${databases.tar} dvdtardump.tar)`);
      await load(practice, tar, databases.tar);
    },
  );
  return { checks: await compareDatabases(practice, Object.values(databases)) };
}
