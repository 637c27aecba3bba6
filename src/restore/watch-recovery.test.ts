import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { decodeControlFile, type ClusterState } from '../postgres/control-file.ts';
import { madeUpControl } from '../../test/support/made-up-cluster.ts';
import { describeRecovery, resumeRecovery, waitForRecovery, type WatchedServer } from './watch-recovery.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgrecall-watch-'));
after(() => rmSync(directory, { recursive: true }));

/** Nobody listens where it is said to be. */
function server(isRunning: () => boolean, state?: ClusterState): WatchedServer {
  return {
    uri: `postgresql:///postgres?host=${encodeURIComponent(directory)}&port=5432&user=postgres`,
    isRunning,
    control: () => state && { ...decodeControlFile(madeUpControl()), state },
    logTail: () => 'FATAL:  could not restore file\n',
  };
}

/** A clock that is a second further at every look. */
function clock(): () => Date {
  let seconds = 0;
  return () => new Date(Date.UTC(2026, 10, 23) + 1000 * seconds++);
}

async function refusal(waiting: Promise<unknown>): Promise<PgrecallError> {
  const error = await waiting.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof PgrecallError, String(error));
  assert.equal(error.code, 'recovery-failed');
  return error;
}

const wait = (): Omit<Parameters<typeof resumeRecovery>[1], 'onState'> => ({
  timeoutMs: 3000,
  now: clock(),
  signal: new AbortController().signal,
});

describe('a server that is to be resumed', () => {
  it('is waited for while it takes no connections, for as long as was said', async () => {
    const seen: unknown[] = [];
    const error = await refusal(
      resumeRecovery(
        server(() => true),
        { ...wait(), onState: (state) => seen.push(state) },
      ),
    );
    assert.equal(error.message, 'the server is not paused in the time given: it takes no connections yet');
    assert.match(String(error.cause), /cannot connect to postgres@.*ENOENT/);
    assert.ok(seen.length > 1 && seen.every((state) => state === undefined), String(seen.length));
  });

  it('is given up when it ends, with how', async () => {
    const ends = async (state: ClusterState | undefined): Promise<string> => {
      let looks = 0;
      const ending = server(() => (looks += 1) < 4, state);
      return (await refusal(resumeRecovery(ending, { ...wait(), onState: () => undefined }))).message;
    };
    assert.match(
      await ends('shut down in recovery'),
      /^the server was shut down in recovery, at 0\/[0-9A-F]+; it was not paused$/,
    );
    assert.equal(
      await ends('in archive recovery'),
      'the server ended during recovery, in archive recovery as its pg_control says:\nFATAL:  could not restore file',
    );
    assert.equal(await ends(undefined), 'the server ended during recovery:\nFATAL:  could not restore file');
  });

  it('is no longer waited for when the command is interrupted', async () => {
    const signal = AbortSignal.abort(new PgrecallError('cancelled', 'interrupted by SIGINT'));
    const waiting = resumeRecovery(
      server(() => true),
      { ...wait(), signal, onState: () => undefined },
    );
    await assert.rejects(waiting, { code: 'cancelled' });
  });
});

it('a server that shuts down at its target as it was told to has reached it', async () => {
  const reached = server(() => false, 'shut down in recovery');
  const state = await waitForRecovery(reached, { ...wait(), until: 'shut down', onState: () => undefined });
  assert.deepEqual([state.state, describeRecovery(state)], ['shut down', `shut down at ${state.replayedLsn}`]);
});
