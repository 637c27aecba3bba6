import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDvdRental } from './dvdrental/dvdrental.ts';
import { rowCounts } from './dvdrental/generate.ts';
import { connect, type Practice } from './practice.ts';
import { connectionTo, names } from './workplace.ts';

export async function makeCluster(practice: Practice): Promise<void> {
  const { story, shell, workplace } = practice;
  await story.step(
    'A PostgreSQL to practise on',
    'A cluster is one data directory and the server that works in it. This one listens on a Unix socket in its own ' +
      'directory and nowhere else.',
    async () => {
      const superuser = ['-U', 'postgres', '-A', 'trust'];
      await shell.initdb('-D', names.data, ...superuser, '-E', 'UTF8', '--locale=C', '--data-checksums');
      const settings = ["listen_addresses = ''", `unix_socket_directories = '${workplace.directory}'`];
      appendFileSync(join(workplace.data, 'postgresql.conf'), `${settings.join('\n')}\n`);
      story.typed(`cat >> ${names.data}/postgresql.conf`, settings);
      await shell.pgCtl('-D', names.data, '-l', names.serverLog, 'start');
    },
  );
}

export async function makeDatabase(practice: Practice): Promise<void> {
  const { story } = practice;
  const total = Object.values(rowCounts).reduce((sum, count) => sum + count, 0);
  await story.step(
    'A DVD rental shop',
    'The well-known 15 tables with their keys, indexes and views, filled with rows that pgrecall makes up: the same ' +
      'ones every time.',
    async () => {
      const statement = `CREATE DATABASE ${names.database}`;
      await using server = await connect(practice, 'postgres');
      await story.sql(
        'postgres',
        `${statement};`,
        async () => {
          await server.query(`${statement} ENCODING 'UTF8' TEMPLATE template0`);
          practice.signal.throwIfAborted();
          await using session = await connect(practice);
          await createDvdRental(session);
        },
        () => [
          `${total} rows in ${Object.keys(rowCounts).length} tables: ${rowCounts.actor} actors, ${rowCounts.film} films, ` +
            `${rowCounts.rental} rentals, ${rowCounts.payment} payments`,
        ],
      );
    },
  );
}

export async function setUpArchiving(practice: Practice): Promise<void> {
  const { story, shell, workplace } = practice;
  await story.step(
    'Continuous archiving',
    'PostgreSQL writes every change to its write-ahead log (WAL) first, in segments of 16 MB. init makes the repository ' +
      'and sets archive_command, so that each finished segment goes there. archive_mode counts from the next start.',
    async () => {
      const own = [`state_directory = "${names.state}"`];
      writeFileSync(workplace.configFile, `${own.join('\n')}\n`);
      story.typed(`cat > ${names.configFile}`, own);
      await shell.pgrecall(
        'init',
        names.cluster,
        '--connection',
        connectionTo(workplace, 'postgres'),
        '--repository',
        names.repository,
        '--data-directory',
        names.data,
        '--apply',
      );
      await shell.pgCtl('-D', names.data, '-l', names.serverLog, 'restart');
      story.say('check lets the server finish a segment, and waits until it is in the repository:');
      await shell.pgrecall('check', names.cluster);
    },
  );
}

export async function backUp(practice: Practice): Promise<void> {
  const { story, shell } = practice;
  await story.step(
    'A hot backup',
    'The files of the cluster, copied while the server works; the WAL of that time makes them consistent. Together ' +
      'with the WAL archived since, this one backup leads to every later moment.',
    async () => {
      await shell.pgrecall('backup', names.cluster, '--note', 'before the accident');
      await shell.pgrecall('list', names.cluster);
    },
  );
}
