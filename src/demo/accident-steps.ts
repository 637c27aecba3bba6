import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readDatabaseState, type DatabaseState } from './database-state.ts';
import { rowCounts } from './dvdrental/generate.ts';
import { newActors } from './new-actors.ts';
import { ask, connect, type Practice } from './practice.ts';
import { check, type Check } from './proof.ts';
import { names } from './workplace.ts';

/** How long after the noted moment the accident happens. */
const accidentAfterMs = 1000;

export const actorsAfterwards = rowCounts.actor + newActors.length;

/** What the practice remembers of the moment that it will want back. */
export interface Noted {
  /** As PostgreSQL prints a timestamptz, in UTC. */
  readonly moment: string;
  readonly state: DatabaseState;
}

export async function addActors(practice: Practice): Promise<Noted> {
  let moment = '';
  let state: DatabaseState | undefined;
  await practice.story.step(
    `${newActors.length} actors join`,
    'Work goes on after the backup. These rows are in no backup, only in the WAL. Then the moment is noted, and, for ' +
      'the proof at the end, what every table holds.',
    async () => {
      const values = newActors.map(([first, last]) => `('${first}', '${last}')`);
      const shown = `INSERT INTO actor (first_name, last_name) VALUES\n${values.slice(0, 3).join(', ')},\n… ${values.length - 4} more …, ${values.at(-1)};`;
      await using session = await connect(practice);
      await practice.story.sql(
        names.database,
        shown,
        async () => session.query(`INSERT INTO actor (first_name, last_name) VALUES ${values.join(', ')}`),
        () => [`INSERT 0 ${values.length}`],
      );
      await ask<{ count: string }>(practice, 'SELECT count(*) FROM actor;', ([row]) => [row?.count ?? '']);
      state = await readDatabaseState(session);
      await ask<{ moment: string }>(practice, 'SELECT clock_timestamp()::text AS moment;', ([row]) => {
        moment = row?.moment ?? '';
        return [moment];
      });
    },
  );
  return { moment, state: state ?? { actors: [], tables: {} } };
}

export async function haveAccident(practice: Practice): Promise<Check[]> {
  let kims = 0;
  await practice.story.step(
    'The accident',
    'A second later someone forgets the WHERE. The change is committed and durable: no ROLLBACK brings the names back.',
    async () => {
      await sleep(accidentAfterMs, undefined, { signal: practice.signal });
      await ask(practice, `UPDATE actor SET last_name = 'Kim';`, () => [`UPDATE ${actorsAfterwards}`]);
      await ask<{ last_name: string; count: string }>(
        practice,
        'SELECT last_name, count(*) FROM actor GROUP BY last_name;',
        (rows) => {
          kims = Number(rows[0]?.count);
          return rows.map((row) => `${row.last_name}: ${row.count}`);
        },
      );
    },
  );
  return [check('actors named Kim after the accident', actorsAfterwards, kims)];
}

/** The result is a hash of what must not change from here on. */
export async function stopServer(practice: Practice): Promise<string> {
  const { story, shell, workplace } = practice;
  await story.step(
    'Stop, and keep what is there',
    'Nothing more may be written, and nothing is deleted: the damaged data directory stays as it is, with all WAL that it ' +
      'has. As the server stops it hands over the last segment to the archive.',
    async () => {
      await shell.pgCtl('-D', names.data, 'stop');
    },
  );
  return hashOfControlFile(workplace.data);
}

/** pg_control changes whenever a server so much as starts in a data directory. */
export function hashOfControlFile(dataDirectory: string): string {
  return createHash('sha256')
    .update(readFileSync(join(dataDirectory, 'global', 'pg_control')))
    .digest('hex');
}
