import { rmSync } from 'node:fs';
import { putBack, removeKept } from '../recover/keep-aside.ts';
import { removeJournal } from '../recover/recovery-journal.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isServerRunning } from '../server/running.ts';
import { startAsStarted } from '../server/stop-and-start.ts';
import { describeState, tellingState } from './recover-place.ts';
import { requireKept, stopForRecovery, type RecoverWork } from './recover-steps.ts';

/** What was there before, by its old names, to the byte. Done again after it was interrupted, it goes on. */
export async function undoRecovery(work: RecoverWork): Promise<void> {
  const { place, recording, context } = work;
  const { directory, server, wasRunning, done, begun } = recording.journal;
  const isKept = done.includes('keep') || begun === 'keep' || recording.journal.phase === 'undoing';
  if (recording.journal.phase !== 'undoing') {
    requireKeptUnlessBegun(work);
    await recording.write({ phase: 'undoing' });
  }
  await tellingState(recording, async () => {
    // Until it was kept, what runs there is the old server.
    if (isKept) {
      await stopForRecovery(work);
      await place.asOwner(async () => {
        putBack(recording.journal);
        for (const path of recording.journal.made) rmSync(path, { recursive: true, force: true });
      });
    }
    if (wasRunning && !isServerRunning(directory)) {
      context.stderr('starting the server as it was started');
      await startAsStarted({ ...server, startTimeoutMs: 60_000 });
    }
  });
  await place.asOwner(async () => removeJournal(directory));
}

function requireKeptUnlessBegun({ recording }: RecoverWork): void {
  if (recording.journal.done.includes('keep')) requireKept(recording);
}

/** Removes what was kept: from now on nothing brings it back. */
export async function forgetRecovery({ place, recording }: RecoverWork): Promise<void> {
  const { journal } = recording;
  if (journal.phase !== 'over') {
    throw new PgrecallError('recovery-unfinished', 'the recovery has not come to its end', {
      hint: describeState(journal),
      details: { done: journal.done },
    });
  }
  await place.asOwner(async () => {
    removeKept(journal);
    removeJournal(journal.directory);
  });
}
