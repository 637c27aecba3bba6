import { describeRecovery, type RecoveryState } from '../restore/watch-recovery.ts';
import type { CliContext } from './context.ts';
import { startProgress } from './progress.ts';

const firstPlainLineMs = 1000;
const plainLineMs = 10_000;

/** Shows how far a recovery is. */
export interface RecoveryProgress {
  readonly onState: (state: RecoveryState | undefined) => void;
  /** Takes the line away. */
  readonly end: () => void;
}

/** On a terminal a line that redraws itself; otherwise a plain line now and then. */
export function startRecoveryProgress(context: CliContext): RecoveryProgress {
  const progress = startProgress(context, 'recovery');
  let nextMs = context.now().getTime() + firstPlainLineMs;
  return {
    onState: (state) => {
      // The end of the waiting is told by the command itself.
      if (state && state.state !== 'recovering') return;
      const nowMs = context.now().getTime();
      if (!context.terminal && nowMs < nextMs) return;
      nextMs = nowMs + plainLineMs;
      progress.say(describeRecovery(state));
    },
    end: progress.end,
  };
}
