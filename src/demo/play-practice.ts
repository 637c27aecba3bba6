import { addActors, haveAccident, stopServer } from './accident-steps.ts';
import type { Practice } from './practice.ts';
import type { Check } from './proof.ts';
import { compareWithWhatWasNoted, openForWork, restoreTheMomentBefore } from './recovery-steps.ts';
import { backUp, makeCluster, makeDatabase, setUpArchiving } from './set-up-steps.ts';

/*
 * The practice: a cluster with continuous archiving, a hot backup, a change that everyone wants, one that nobody
 * wants, and the recovery to the moment in between. Every step shows what is typed and what comes of it.
 */

export interface PracticeResult {
  /** What the server's clock said after the actors had joined and before the accident. */
  readonly moment: string;
  readonly checks: readonly Check[];
}

export async function playPractice(practice: Practice): Promise<PracticeResult> {
  await makeCluster(practice);
  await makeDatabase(practice);
  await setUpArchiving(practice);
  await backUp(practice);

  const noted = await addActors(practice);
  const accident = await haveAccident(practice);
  const kept = await stopServer(practice);

  await restoreTheMomentBefore(practice, noted.moment);
  const compared = await compareWithWhatWasNoted(practice, noted);
  const opened = await openForWork(practice, kept);
  return { moment: noted.moment, checks: [...accident, ...compared, ...opened] };
}
