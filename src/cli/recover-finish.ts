import { SqlSession } from '../connection/sql-session.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { timeline as toTimeline } from '../postgres/timeline.ts';
import { askAssertions, lookAround, type Assertion } from '../recover/assertions.ts';
import { resumeRecovery, type RecoveryState } from '../restore/watch-recovery.ts';
import { isServerRunning } from '../server/running.ts';
import { startAsStarted } from '../server/stop-and-start.ts';
import { ensureArchived } from '../standby/promote.ts';
import { asRepositoryOwner } from './cluster-access.ts';
import { tellingState } from './recover-place.ts';
import {
  recordDone,
  stopForRecovery,
  takeSettingsOut,
  waitForTarget,
  type AtTarget,
  type RecoverWork,
} from './recover-steps.ts';
import { startRecoveryProgress } from './recovery-progress.ts';
import { findServer } from './watched-server.ts';

const archiveTimeoutMs = 30_000;
const startTimeoutMs = 60_000;

/** What was found at the target. */
export interface Found extends AtTarget {
  readonly assertions: readonly Assertion[];
  readonly databases: readonly { readonly name: string; readonly bytes: number }[];
}

/** Waits for the target, then asks the administrator’s assertions, and looks around. */
export async function lookAtTarget(work: RecoverWork): Promise<Found> {
  const { place, recording, context } = work;
  const at = await waitForTarget(work);
  await recording.write({ replayedLsn: at.state.replayedLsn ?? null });
  return tellingState(recording, async () =>
    place.asOwner(async () => {
      const { uri } = findServer(place.directory, { connection: place.config.connection, env: context.env });
      const connect = async (database: string | undefined): Promise<SqlSession> =>
        SqlSession.connect(uri, {
          applicationName: 'pgrecall recover',
          ...(database === undefined ? {} : { database }),
        });
      const assertions = await askAssertions(connect, place.config.assertions);
      await using session = await connect(undefined);
      return { ...at, assertions, databases: await lookAround(session) };
    }),
  );
}

/** Ends the recovery, sees to the new timeline, and lets the users in. */
export async function openCluster(work: RecoverWork): Promise<RecoveryState | undefined> {
  const { recording, place } = work;
  let state: RecoveryState | undefined;
  if (!recording.journal.done.includes('promote')) {
    await recording.write({ begun: 'promote' });
    state = await tellingState(recording, async () => promote(work));
    await recordDone(recording, 'promote');
  }
  await recording.write({ begun: 'reopen' });
  await tellingState(recording, async () => {
    await stopForRecovery(work);
    await takeSettingsOut(work);
    work.context.stderr('restarting the server as it was started: users come in');
    await startAsStarted({ ...recording.journal.server, startTimeoutMs });
    if (!isServerRunning(place.directory)) throw new PgrecallError('server-start', 'the server has ended again');
  });
  await recordDone(recording, 'reopen', 'over');
  return state;
}

async function promote(work: RecoverWork): Promise<RecoveryState> {
  const { place, recording, context } = work;
  const { directory, cluster } = recording.journal;
  const watched = findServer(directory, { connection: place.config.connection, env: context.env });
  const progress = startRecoveryProgress(context);
  let state: RecoveryState;
  try {
    state = await place.asOwner(async () =>
      resumeRecovery(watched, {
        timeoutMs: work.timeoutMs,
        now: context.now,
        signal: context.signal,
        onState: progress.onState,
      }),
    );
  } finally {
    progress.end();
  }
  const { timeline } = state;
  if (timeline === undefined) return state;
  await asRepositoryOwner(context, cluster, async ({ store }) => {
    await using session = await SqlSession.connect(watched.uri, { applicationName: 'pgrecall recover' });
    const [row] = await session.query<{ mode: string }>("SELECT current_setting('archive_mode') AS mode");
    const archived = await ensureArchived(session, store, {
      ...{ directory, timeline: toTimeline(timeline), signal: context.signal },
      archives: row?.mode !== 'off',
      timeoutMs: archiveTimeoutMs,
    });
    if (archived.problem !== undefined) {
      context.stderr(`warning: timeline ${timeline} is not archived yet: ${archived.problem}`);
    }
  });
  return state;
}
