import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { journalDirectory, type RecoveryJournal } from '../recover/recovery-journal.ts';
import { describeState, openRecording, Recording, tellingState, type RecoverPlace } from './recover-place.ts';

function journalOf(directory: string, change: Partial<RecoveryJournal> = {}): RecoveryJournal {
  const kept = join(journalDirectory(directory), 'kept');
  return {
    ...{
      version: 1,
      cluster: 'main',
      directory,
      phase: 'forward',
      begun: null,
      done: [],
      wasRunning: true,
      target: {},
    },
    ...{ port: null, delta: false, again: false, backup: null, timeline: null, made: [], walPlace: null, mode: 0o700 },
    ...{ moves: [{ from: directory, to: kept }], emptied: [], replayedLsn: null },
    server: undefined as unknown as RecoveryJournal['server'],
    ...change,
  };
}

async function toldOf(error: unknown): Promise<PgrecallError> {
  const recording = new Recording({} as RecoverPlace, journalOf('/nowhere/data'));
  try {
    await tellingState(recording, async () => {
      throw error;
    });
  } catch (told) {
    if (told instanceof PgrecallError) return told;
  }
  return assert.fail('it was not told');
}

describe('the journal of a recovery', () => {
  it('does not say which program root runs', async () => {
    const root = mkdtempSync(join(tmpdir(), 'pgrecall-journal-'));
    try {
      const directory = join(root, 'data');
      mkdirSync(journalDirectory(directory));
      const own = join(root, 'pg_ctlcluster');
      writeFileSync(own, '', { mode: 0o755 });
      const startedBy = { kind: 'pg_ctlcluster', program: '/tmp/planted', version: '15', name: 'main' };
      const server = { startedBy } as unknown as RecoveryJournal['server'];
      writeFileSync(
        join(journalDirectory(directory), 'journal.json'),
        JSON.stringify(journalOf(directory, { server })),
      );
      const place = { directory, asOwner: async <T>(act: () => Promise<T>) => act() } as RecoverPlace;
      const recording = await openRecording(place, { env: { PATH: root } });
      assert.deepEqual(recording.journal.server.startedBy, { ...startedBy, program: own });
      await assert.rejects(openRecording(place, { env: {} }), /pg_ctlcluster, which the server was started with/);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe('the state of a recovery', () => {
  it('is told as it is on the disk, not as it was planned', () => {
    const root = mkdtempSync(join(tmpdir(), 'pgrecall-state-'));
    try {
      const directory = join(root, 'data');
      mkdirSync(directory);
      mkdirSync(journalDirectory(directory));
      const asItWas = /the data directory ".*data" is as it was/;
      assert.match(describeState(journalOf(directory, { begun: 'keep' })), asItWas);
      renameSync(directory, join(journalDirectory(directory), 'kept'));
      assert.match(
        describeState(journalOf(directory, { begun: 'keep' })),
        /is kept in ".*recovery\/kept"; the next step/,
      );
      assert.match(
        describeState(journalOf(directory, { phase: 'over' })),
        /--forget removes it, --undo brings it back/,
      );
      assert.match(describeState(journalOf(directory, { phase: 'forgetting' })), /being removed: .* --forget goes on/);
      renameSync(join(journalDirectory(directory), 'kept'), directory);
      assert.match(describeState(journalOf(directory, { phase: 'undoing' })), asItWas);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('is told with each error, of whomever it is', async () => {
    const ours = await toldOf(new PgrecallError('keep-failed', 'no', { hint: 'so' }));
    assert.match(ours.hint ?? '', /^so; the data directory .* --continue goes on, --undo brings everything back/);
    const system = await toldOf(caughtOf(() => readFileSync('/nowhere/at/all')));
    assert.deepEqual([system.code, /--undo/.test(system.hint ?? '')], ['io', true]);
    const interrupted = await toldOf(caughtOf(() => AbortSignal.abort().throwIfAborted()));
    assert.deepEqual([interrupted.code, /--continue/.test(interrupted.hint ?? '')], ['cancelled', true]);
  });
});

function caughtOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}
