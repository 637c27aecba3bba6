import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { addActors, haveAccident } from './accident-steps.ts';
import { performPlay, type PlayOptions, type PlayReport } from './play.ts';
import { ask, type Practice } from './practice.ts';
import { check, type Check } from './proof.ts';
import { compareWithWhatWasNoted } from './recovery-steps.ts';
import { backUp, makeCluster, makeDatabase, setUpArchiving } from './set-up-steps.ts';
import { names } from './workplace.ts';

/* The third practice: continuous archiving, an accident, and the recovery of the cluster itself, in its own place. */

const recover = ['recover', names.cluster] as const;

/** Throws as `performPlay` does. */
export async function playPitrLab(options: PlayOptions): Promise<PlayReport> {
  const { report } = await performPlay(options, {
    subject: 'Archiving, an accident, and the ten steps of a recovery in place',
    act,
    outcome: 'Every name is back, in the cluster itself.',
    lookAround: [`pgrecall list ${names.cluster}`, `pg_ctl -D ${names.data} -l ${names.serverLog} start`],
  });
  return report;
}

async function act(practice: Practice): Promise<{ readonly checks: readonly Check[] }> {
  await makeCluster(practice);
  await makeDatabase(practice);
  await setUpArchiving(practice);
  await backUp(practice);
  const noted = await addActors(practice);
  const accident = await haveAccident(practice);
  await readThePlan(practice, noted.moment);
  const kept = await recoverToThePause(practice, noted.moment);
  const compared = await compareWithWhatWasNoted(practice, noted);
  const opened = await openAndForget(practice);
  return { checks: [...accident, ...kept, ...compared, ...opened] };
}

async function readThePlan({ story, shell }: Practice, moment: string): Promise<void> {
  await story.step(
    'The plan',
    'By hand these are ten steps: stop, copy the data directory and the WAL that is not archived, empty, restore, bring back that ' +
      'WAL, edit postgresql.conf, make recovery.signal, close pg_hba.conf, start, look and open. recover does all of them, and ' +
      'says before of each what undoes it. The server still runs.',
    async () => {
      // The last change may be archived only when the server stops: a plan does not wait for that.
      await shell.pgrecall('check', names.cluster);
      await shell.pgrecall(...recover, '--target-time', moment, '--plan');
    },
  );
}

async function recoverToThePause(practice: Practice, moment: string): Promise<Check[]> {
  const { story, shell, workplace } = practice;
  const keptAt = join(`${workplace.data}.pgrecall-recovery`, 'kept');
  await story.step(
    'Stop, keep, restore, recover',
    'The server stops; what only its pg_wal has goes into the repository; the old directory gets another name, which costs nothing ' +
      'and loses nothing. The backup takes its place, with recovery.signal and restore_command, and replays WAL up to the noted ' +
      'moment. Only the local administrator can come in meanwhile: pg_hba.conf itself is not touched.',
    async () => {
      await shell.pgrecall(...recover, '--target-time', moment, '--pause');
      await shell.pgrecall(...recover, '--status');
    },
  );
  const signal = existsSync(join(workplace.data, 'recovery.signal'));
  return [
    check('the old directory is kept', true, existsSync(join(keptAt, 'PG_VERSION'))),
    check('recovery.signal is there', true, signal),
  ];
}

async function openAndForget(practice: Practice): Promise<Check[]> {
  const { story, shell, workplace } = practice;
  let recovering = true;
  let rules = '';
  await story.step(
    'Open for work',
    'The recovery ends (pg_wal_replay_resume), the server goes on on a new timeline, which is archived, too; our settings are taken ' +
      'out again, and users come in. Until --forget the old directory would be back with recover --undo.',
    async () => {
      await shell.pgrecall(...recover, '--continue', '--yes');
      await ask<{ recovering: boolean; rules: string }>(
        practice,
        "SELECT pg_is_in_recovery() AS recovering, current_setting('hba_file') AS rules;",
        ([row]) => {
          recovering = row?.recovering ?? true;
          rules = row?.rules ?? '';
          return [`${recovering ? 't' : 'f'} | ${rules}`];
        },
      );
      await shell.pgrecall('backup', names.cluster, '--note', 'after the recovery');
      await shell.pgrecall('list', names.cluster);
      await shell.pgrecall(...recover, '--forget');
    },
  );
  return [
    check('the server is in recovery', false, recovering),
    check('recovery.signal is gone', true, !existsSync(join(workplace.data, 'recovery.signal'))),
    check('the access rules are the cluster’s own', join(workplace.data, 'pg_hba.conf'), rules),
    check('nothing of the recovery is left', false, existsSync(`${workplace.data}.pgrecall-recovery`)),
  ];
}
