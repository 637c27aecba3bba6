import { rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { Programs } from '../server/programs.ts';
import { endServers } from './end-servers.ts';
import type { Practice } from './practice.ts';
import { proofLines, proofOf, type Check, type Proof } from './proof.ts';
import { Shell } from './shell.ts';
import { Story, type Step } from './story.ts';
import { formatSeconds, table } from './text-layout.ts';
import { workplaceIn, type Workplace } from './workplace.ts';

/* What every practice of `demo` and `lab` has in common: the place, the story, the proof, and that nothing stays behind. */

export interface PlayOptions {
  /** An empty directory of the user who runs this; removed at the end unless something failed or `keep` is set. */
  readonly directory: string;
  readonly programs: Programs;
  /** Absolute path of `bin/pgrecall`. */
  readonly launcher: string;
  readonly keep: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
  readonly now: () => Date;
}

/** One practice, as it is told. */
export interface Play<T extends { readonly checks: readonly Check[] }> {
  /** What it is about, in a few words: `A backup, an accident and a recovery`. */
  readonly subject: string;
  readonly act: (practice: Practice) => Promise<T>;
  /** What to say when the proof holds. */
  readonly outcome: string;
  /** What to type, in the directory that is kept, to look around. */
  readonly lookAround: readonly string[];
}

/** What `--json` prints of it. */
export interface PlayReport {
  readonly postgres: { readonly major: number; readonly binDirectory: string };
  /** Whether the directory is still there. */
  readonly kept: boolean;
  readonly directory: string;
  readonly seconds: number;
  readonly steps: readonly Step[];
  readonly proof: Proof;
}

/**
 * Plays a whole practice and proves it. No server runs afterwards, whatever happens. Throws `demo-failed` and leaves the
 * directory for whoever wants to know why; `cancelled` without leaving it.
 */
export async function performPlay<T extends { readonly checks: readonly Check[] }>(
  options: PlayOptions,
  play: Play<T>,
): Promise<{ readonly report: PlayReport; readonly result: T }> {
  const { directory, programs, keep, print, now, signal } = options;
  const workplace = workplaceIn(directory);
  const story = new Story(print, now);
  const startedMs = now().getTime();
  introduce(story, play.subject, options);
  const shell = new Shell({ ...options, story });
  const result = await endingServers(options, async () => {
    try {
      return await play.act({ workplace, story, shell, signal });
    } catch (error) {
      if (signal.aborted || hasCode(error, 'cancelled')) throw cancellation(signal, error);
      throw failure(error, story, workplace);
    }
  });
  const proof = proofOf(result.checks);
  const kept = keep || !proof.holds;
  if (!kept) removeDirectory(directory);
  const { major, binDirectory } = programs;
  const seconds = (now().getTime() - startedMs) / 1000;
  const report = { postgres: { major, binDirectory }, kept, directory, seconds, steps: story.steps, proof };
  conclude(story, report, play);
  return { report, result };
}

/** Whatever comes of `work`, no server of the practice runs after it; interrupted, it leaves no directory either. */
async function endingServers<T>(options: PlayOptions, work: () => Promise<T>): Promise<T> {
  let remove = false;
  try {
    return await work();
  } catch (error) {
    remove = hasCode(error, 'cancelled') && !options.keep;
    throw error;
  } finally {
    await endServers(workplaceIn(options.directory), options.programs);
    if (remove) removeDirectory(options.directory);
  }
}

function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}

function introduce(story: Story, subject: string, { directory, programs }: PlayOptions): void {
  story.paragraph(
    `${subject}, with PostgreSQL ${programs.major} of ${programs.binDirectory}. Everything ` +
      'happens in one temporary directory; nothing else on this machine is touched.',
  );
  story.lines([`$ cd ${directory}`, '']);
}

function conclude(
  story: Story,
  report: PlayReport,
  { outcome, lookAround }: Pick<Play<never>, 'outcome' | 'lookAround'>,
): void {
  const { proof, steps, directory } = report;
  story.paragraph('The proof');
  story.lines([...proofLines(proof), '']);
  story.paragraph('How long it took');
  const rows = steps.map(({ number, title, seconds }) => [`${number}. ${title}`, formatSeconds(seconds)]);
  story.lines([...table([['step', 'time'], ...rows, ['all of it', formatSeconds(report.seconds)]]), '']);
  if (!report.kept) {
    story.paragraph(`${outcome} Servers stopped, directory removed; --keep leaves it for you to look around.`);
    return;
  }
  story.paragraph(
    `${proof.holds ? outcome : 'The proof does not hold.'} Everything is kept, with the servers stopped. To look around, ` +
      `as ${userInfo().username}:`,
  );
  story.lines([`cd ${directory}`, ...lookAround, `rm -r ${directory}`, '']);
}

function cancellation(signal: AbortSignal, error: unknown): PgrecallError {
  const reason: unknown = signal.reason;
  return reason instanceof PgrecallError
    ? reason
    : new PgrecallError('cancelled', 'interrupted before it was done', { cause: error });
}

/** Says in which step it failed, and where everything still lies. */
function failure(error: unknown, story: Story, workplace: Workplace): PgrecallError {
  const { directory, serverLog } = workplace;
  const hint = `everything is kept in "${directory}"; the server's log is "${serverLog}"`;
  if (error instanceof PgrecallError) {
    const message = error.code === 'demo-failed' ? error.message : `${story.currentStep}: ${error.message}`;
    return new PgrecallError('demo-failed', message, {
      hint,
      details: { ...error.details, step: story.currentStep, directory },
      cause: error.cause ?? error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new PgrecallError('demo-failed', `${story.currentStep}: ${message}`, {
    hint,
    details: { step: story.currentStep, directory },
    cause: error,
  });
}
