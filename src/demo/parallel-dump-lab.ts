import { compareDatabases, dump, load, makeDatabases, setUpRepository } from './dump-steps.ts';
import { performPlay, type PlayOptions, type PlayReport } from './play.ts';
import type { Practice } from './practice.ts';
import type { Check } from './proof.ts';
import { makeCluster, makeDatabase } from './set-up-steps.ts';
import { names } from './workplace.ts';

/* The second practice: the DVD rental database is dumped over four connections, and loaded over four. */

const database = 'paralleltest';
const jobs = ['--jobs', '4'] as const;

/** Throws as `performPlay` does. */
export async function playParallelDumpLab(options: PlayOptions): Promise<PlayReport> {
  const { report } = await performPlay(options, {
    subject: 'One database, dumped with four jobs and loaded with four',
    act,
    outcome: 'The copy is the original, row by row.',
    lookAround: [
      `pg_ctl -D ${names.data} -l ${names.serverLog} start`,
      `pgrecall list ${names.cluster}`,
      `psql -h ${options.directory} -U postgres ${database}`,
    ],
  });
  return report;
}

async function act(practice: Practice): Promise<{ readonly checks: readonly Check[] }> {
  const { story, shell } = practice;
  await makeCluster(practice);
  await makeDatabase(practice);
  await setUpRepository(practice);
  await story.step('An empty database', 'For what will be loaded.', async () => makeDatabases(practice, [database]));
  let id = '';
  await story.step(
    'A dump with four jobs',
    'Four connections share one snapshot, so that all see the same moment, and each takes the next table. Only the ' +
      'directory format can be written so: a file for each table, which pgrecall takes as soon as it is finished.',
    async () => {
      story.say(`(by hand: pg_dump -j 4 -Fd -f rentdumpdir ${names.database})`);
      id = await dump(practice, '--format', 'directory', ...jobs);
      story.say('A directory tells of each table how much its rows take:');
      await shell.pgrecall('show', names.cluster, id);
    },
  );
  await story.step(
    'Loaded with four jobs',
    'pg_restore makes the tables first; then four connections copy rows and build indexes, what takes longest before the rest.',
    async () => {
      story.say(`(by hand: pg_restore -j 4 -d ${database} rentdumpdir)`);
      await load(practice, id, database, ...jobs);
    },
  );
  return { checks: await compareDatabases(practice, [database]) };
}
