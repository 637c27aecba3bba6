import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { actorsAfterwards, hashOfControlFile, type Noted } from './accident-steps.ts';
import {
  countOfKim,
  countOfSameActors,
  countOfSameTables,
  readDatabaseState,
  type DatabaseState,
} from './database-state.ts';
import { ask, connect, type Practice } from './practice.ts';
import { check, type Check } from './proof.ts';
import { names } from './workplace.ts';

export async function restoreTheMomentBefore(practice: Practice, moment: string): Promise<void> {
  const { story, shell } = practice;
  const command = ['restore', names.cluster, '--to', names.restored, '--target-time', moment];
  await story.step(
    'Back to the moment before',
    'restore takes the backup and lets a server replay the archived WAL up to the noted moment, in a new directory. ' +
      'First the plan, which touches nothing; then the same for real.',
    async () => {
      await shell.pgrecall(...command, '--plan');
      await shell.pgrecall(...command, '--start');
    },
  );
}

export async function compareWithWhatWasNoted(practice: Practice, noted: Noted): Promise<Check[]> {
  const { story } = practice;
  let state: DatabaseState = { actors: [], tables: {} };
  let paused = '';
  await story.step(
    'Look before you decide',
    'The server has stopped replaying at the target and answers questions, but takes no changes yet. If the moment is ' +
      'wrong, another can be tried. Everything is compared with what was noted.',
    async () => {
      await ask<{ count: string }>(practice, 'SELECT count(*) FROM actor;', ([row]) => [row?.count ?? '']);
      await ask<{ names: string }>(
        practice,
        `SELECT string_agg(first_name || ' ' || last_name, ', ' ORDER BY actor_id) AS names\nFROM actor WHERE actor_id > ${actorsAfterwards - 5};`,
        ([row]) => [row?.names ?? ''],
      );
      await ask<{ state: string; last: string | null }>(
        practice,
        'SELECT pg_get_wal_replay_pause_state() AS state, pg_last_xact_replay_timestamp() AS last;',
        ([row]) => {
          paused = row?.state ?? '';
          return [`${paused}; the last change replayed was committed at ${isoOf(row?.last)}`];
        },
      );
      await using session = await connect(practice);
      state = await readDatabaseState(session);
    },
  );
  const tables = Object.keys(noted.state.tables).length;
  return [
    check('recovery has paused at the target', 'paused', paused),
    check('actors after the recovery', actorsAfterwards, state.actors.length),
    check('actors equal to the noted ones, in every column', actorsAfterwards, countOfSameActors(noted.state, state)),
    check('actors named Kim, as before the accident', countOfKim(noted.state), countOfKim(state)),
    check('tables equal to the noted ones, in every row', tables, countOfSameTables(noted.state, state)),
  ];
}

export async function openForWork(practice: Practice, kept: string): Promise<Check[]> {
  const { story, shell, workplace } = practice;
  const signalFile = join(workplace.restored, 'recovery.signal');
  const before = existsSync(signalFile);
  let inRecovery = true;
  let added = '';
  await story.step(
    'Open for work',
    'resume ends the recovery (pg_wal_replay_resume). PostgreSQL removes recovery.signal and goes on, on a new timeline, so ' +
      'that the old course of events stays in the archive beside the new one.',
    async () => {
      await shell.pgrecall('resume', '--directory', names.restored);
      await ask<{ recovering: boolean }>(practice, 'SELECT pg_is_in_recovery() AS recovering;', ([row]) => {
        inRecovery = row?.recovering ?? true;
        return [inRecovery ? 't' : 'f'];
      });
      await ask<{ name: string }>(
        practice,
        `INSERT INTO category (name) VALUES ('Second chances') RETURNING name;`,
        ([row]) => {
          added = row?.name ?? '';
          return [added];
        },
      );
    },
  );
  return [
    check('recovery.signal was there, and is gone', true, before && !existsSync(signalFile)),
    check('the server is in recovery', false, inRecovery),
    check('the server takes changes', true, added !== ''),
    check('the damaged data directory is as it was kept', true, hashOfControlFile(workplace.data) === kept),
  ];
}

function isoOf(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value);
}
