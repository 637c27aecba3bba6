import { existsSync } from 'node:fs';
import { readControlFile } from '../backup/read-control-file.ts';
import { isAside, keptDirectory, putBack, removeKept } from '../recover/keep-aside.ts';
import { removeMade } from '../recover/made-tablespaces.ts';
import { removeJournal } from '../recover/recovery-journal.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { isServerRunning } from '../server/running.ts';
import { startAsStarted } from '../server/stop-and-start.ts';
import { asRepositoryOwner } from './cluster-access.ts';
import { takeWal } from './recover-look.ts';
import { describeState, tellingState } from './recover-place.ts';
import { fromForeign } from './report-error.ts';
import { requireKept, stopForRecovery, type RecoverWork } from './recover-steps.ts';

/** What was there before, by its old names, to the byte. Done again after it was interrupted, it goes on. */
export async function undoRecovery(work: RecoverWork): Promise<void> {
  const { place, recording, context } = work;
  const { directory, server, wasRunning, moves } = recording.journal;
  if (recording.journal.phase === 'forgetting') {
    throw new PgrecallError('recovery-unfinished', 'what was kept is not whole any more', {
      hint: describeState(recording.journal),
    });
  }
  if (recording.journal.phase !== 'undoing') {
    requireKeptUnlessBegun(work);
    await recording.write({ phase: 'undoing' });
  }
  await tellingState(recording, async () => {
    // Before it is aside, and when it is back, what runs there is the old server.
    if (isAside(moves)) {
      await stopForRecovery(work);
      await saveSince(work);
      await place.asOwner(async () => removeMade(recording.journal.made));
    }
    await place.asOwner(async () => putBack(recording.journal));
    if (wasRunning && !isServerRunning(directory)) {
      context.stderr('starting the server as it was started');
      await startAsStarted({ ...server, startTimeoutMs: 60_000 });
    }
  });
  await place.asOwner(async () => removeJournal(directory));
}

/** What was committed after the recovery is not on the way of the old directory; in the repository it stays within reach. */
async function saveSince({ recording, context }: RecoverWork): Promise<void> {
  const { directory, cluster, done, moves } = recording.journal;
  const isThere = existsSync(directory) && existsSync(keptDirectory(directory, moves));
  if (!done.includes('promote') || !isThere) return;
  try {
    const { control } = readControlFile(directory);
    const { stored } = await asRepositoryOwner(context, cluster, async (access) =>
      takeWal(access, directory, control, context.signal),
    );
    const words = `--target-timeline ${control.timeline}`;
    context.stderr(
      `what was committed since stays in the repository: ${words}; stored now: ${stored.join(', ') || 'nothing more'}`,
    );
  } catch (error) {
    // The way back must depend neither on the repository nor on what an undo that was killed has left of the directory.
    if (context.signal.aborted) throw error;
    context.stderr(`warning: what was committed since may not be in the repository: ${fromForeign(error).message}`);
  }
}

function requireKeptUnlessBegun({ recording }: RecoverWork): void {
  if (recording.journal.done.includes('keep')) requireKept(recording);
}

/** Removes what was kept: from now on nothing brings it back. */
export async function forgetRecovery({ place, recording }: RecoverWork): Promise<void> {
  const { journal } = recording;
  if (journal.phase !== 'over' && journal.phase !== 'forgetting') {
    throw new PgrecallError('recovery-unfinished', 'the recovery has not come to its end', {
      hint: describeState(journal),
      details: { done: journal.done },
    });
  }
  await recording.write({ phase: 'forgetting' });
  await place.asOwner(async () => {
    removeKept(journal);
    removeJournal(journal.directory);
  });
}
