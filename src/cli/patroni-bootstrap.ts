import { parseTarget } from '../restore/target.ts';
import type { RunCommand } from './command.ts';
import { listOption } from './options.ts';
import { restoreForPatroni } from './patroni-restore.ts';
import { readPatroniWords } from './patroni-words.ts';
import { describeTarget } from '../restore/target.ts';

/**
 * `pgrecall patroni bootstrap [CLUSTER]`: what bootstrap.method calls. The directory recovers to the target by itself and
 * is promoted there, with keep_existing_recovery_conf; Patroni takes the settings of the recovery out afterwards.
 */
export const runPatroniBootstrap: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const words = readPatroniWords(arguments_, context);
  const request = parseTarget({ ...options, targetAction: 'promote' });
  const { plan, directory } = await restoreForPatroni(
    {
      words,
      mappings: listOption(options, 'tablespace'),
      standby: false,
      request: async () => Promise.resolve(request),
    },
    context,
  );
  if (context.json) {
    context.stdout(JSON.stringify({ directory, backup: plan.backup.id, timeline: plan.timeline }, undefined, 2));
  } else {
    context.stdout(`${directory} is made of ${plan.backup.id}, and recovers to ${describeTarget(plan.request)}`);
  }
  return 0;
};
