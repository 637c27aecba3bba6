import type { CommandSpec, OptionSpec } from './command.ts';

/** What happens at the target is what the command is about. */
function targetOf(option: OptionSpec): readonly OptionSpec[] {
  if (option.flags.startsWith('--target-action')) return [];
  if (!option.flags.startsWith('--target-timeline')) return [option];
  return [{ ...option, help: 'that of the directory (unless said), latest, current, or a number' }];
}

/** Recovery in place, and what goes on with one that has begun. */
export function recoverCommands(shared: {
  readonly targets: readonly OptionSpec[];
  readonly jobs: OptionSpec;
}): readonly CommandSpec[] {
  return [
    {
      name: 'recover',
      group: 'Recovery',
      positional: ['<cluster>'],
      help: 'in place, reversible: stop, keep the old directory, restore, recover, check, open; or bring the old one back',
      options: [
        { flags: '--backup <id>', help: 'the backup to start from; the best for the target unless named' },
        ...shared.targets.flatMap(targetOf),
        { flags: '--plan', help: 'say what would be done and what undoes it, touch nothing' },
        { flags: '--yes', help: 'without asking: open at the target where all assertions hold' },
        { flags: '--pause', help: 'end at the target, with the server paused there, whatever the assertions say' },
        { flags: '--delta', help: 'clone the kept directory and write what differs, instead of a whole restore' },
        { flags: '--ignore-standbys', help: 'although standbys or receivers are connected' },
        { flags: '--port <port>', help: 'another port while it recovers' },
        { flags: '--continue', help: 'go on with the recovery that has begun; with a target, to that one' },
        { flags: '--undo', help: 'bring back the directory as it was before, and start the server if it ran' },
        { flags: '--forget', help: 'after a recovery: remove the old directory, which was kept' },
        { flags: '--status', help: 'say how far a recovery is' },
        {
          flags: '--timeout <seconds>',
          help: 'how long to wait for the server to stop (600), and to recover (no limit)',
        },
        shared.jobs,
      ],
      load: async () => (await import('./recover.ts')).runRecover,
    },
  ];
}
