import { performPlay, type PlayOptions, type PlayReport } from './play.ts';
import { playPractice } from './play-practice.ts';
import { names } from './workplace.ts';

/** The document of `pgrecall demo --json`. */
export interface DemoReport extends PlayReport {
  /** The moment that was recovered to. */
  readonly moment: string;
}

/** An accident and the recovery from it. Throws as `performPlay` does. */
export async function playDemo(options: PlayOptions): Promise<DemoReport> {
  const { report, result } = await performPlay(options, {
    subject: 'A backup, an accident and a recovery',
    act: playPractice,
    outcome: 'Every name is back.',
    lookAround: [`pgrecall list ${names.cluster}`, `pg_ctl -D ${names.restored} -l ${names.serverLog} start`],
  });
  return { ...report, moment: result.moment };
}
