import { playDemo } from '../demo/demo.ts';
import { newestPrograms } from '../demo/programs.ts';
import type { RunCommand } from './command.ts';
import { flagOption, numberOption } from './options.ts';
import { runPlay } from './run-play.ts';

/** `pgrecall demo`. */
export const runDemo: RunCommand = async ({ options }, context) => {
  const programs = await newestPrograms(context.env, numberOption(options, 'postgres', 1));
  return runPlay(context, { programs, keep: flagOption(options, 'keep') }, playDemo);
};
