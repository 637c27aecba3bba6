import { nearest } from '../config/nearest.ts';
import type { PlayOptions, PlayReport } from '../demo/play.ts';
import { newestPrograms, newestProgramsWithClients } from '../demo/programs.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Programs } from '../server/programs.ts';
import type { RunCommand } from './command.ts';
import { flagOption, numberOption, requiredPositional } from './options.ts';
import { runPlay } from './run-play.ts';

/** One of the practices, which is loaded when it is played. */
interface Lab {
  /** Whether it needs pg_dump and pg_restore beside the server. */
  readonly clients: boolean;
  readonly load: () => Promise<(options: PlayOptions) => Promise<PlayReport>>;
}

/** By their names, in the order of the document that they are from. The next one is one more entry here. */
const labs: Readonly<Record<string, Lab>> = {
  'sql-dump': { clients: true, load: async () => (await import('../demo/sql-dump-lab.ts')).playSqlDumpLab },
  'parallel-dump': {
    clients: true,
    load: async () => (await import('../demo/parallel-dump-lab.ts')).playParallelDumpLab,
  },
  pitr: { clients: false, load: async () => (await import('../demo/pitr-lab.ts')).playPitrLab },
};

/** `pgrecall lab NAME`. */
export const runLab: RunCommand = async (arguments_, context) => {
  const { options } = arguments_;
  const lab = chooseLab(requiredPositional(arguments_, 'name'));
  const wanted = numberOption(options, 'postgres', 1);
  const find: (env: NodeJS.ProcessEnv, major?: number) => Promise<Programs> = lab.clients
    ? newestProgramsWithClients
    : newestPrograms;
  const programs = await find(context.env, wanted);
  return runPlay(context, { programs, keep: flagOption(options, 'keep') }, await lab.load());
};

function chooseLab(name: string): Lab {
  const lab = Object.hasOwn(labs, name) ? labs[name] : undefined;
  if (lab) return lab;
  const known = Object.keys(labs);
  const near = nearest(name, known);
  throw new PgrecallError('usage', `unknown lab "${name}"`, {
    hint: near === undefined ? `there are ${known.join(', ')}` : `did you mean "${near}"?`,
    details: { known, nearest: near ?? null },
  });
}
