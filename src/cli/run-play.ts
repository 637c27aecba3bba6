import { execFileSync } from 'node:child_process';
import { accessSync, chownSync, constants, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PlayOptions, PlayReport } from '../demo/play.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { Programs } from '../server/programs.ts';
import type { CliContext } from './context.ts';
import { becomeOwnerOf } from './privileges.ts';

/** Plays a practice in a directory of its own, and says what came of it: exit 0 only where the proof holds. */
export async function runPlay(
  context: CliContext,
  { programs, keep }: { readonly programs: Programs; readonly keep: boolean },
  play: (options: PlayOptions) => Promise<PlayReport>,
): Promise<number> {
  const directory = makeDirectory(context.launcher, programs);
  const signals = untilServersHaveEnded();
  try {
    const report = await play({
      directory,
      programs,
      launcher: context.launcher,
      keep,
      env: context.env,
      signal: AbortSignal.any([context.signal, signals.hangUp]),
      print: (line) => {
        if (!context.json) context.stdout(line);
      },
      now: () => context.now(),
    });
    if (context.json) context.stdout(JSON.stringify(report, undefined, 2));
    if (report.proof.holds) return 0;
    context.stderr(`the proof does not hold; everything is kept in "${directory}"`);
    return 1;
  } finally {
    signals.release();
  }
}

const prefix = 'pgrecall-demo-';

/** A Unix socket's path may have 107 bytes; its name takes 13, what makes the directory's name its own 6. */
const longestParent = 107 - 13 - 6 - prefix.length - 2;

/**
 * An own directory below the temporary one. As root this process becomes the user postgres here, who owns it:
 * PostgreSQL does not run as root. Throws `server-rights` where that cannot be.
 */
function makeDirectory(launcher: string, programs: Programs): string {
  const parent = tmpdir().length <= longestParent ? tmpdir() : '/tmp';
  const owner = process.getuid?.() === 0 ? serverUser() : undefined;
  const directory = mkdtempSync(join(parent, prefix));
  if (!owner) return directory;
  chownSync(directory, owner.uid, owner.gid);
  becomeOwnerOf(directory);
  const closed = [launcher, programs.initdb].find((path) => !mayRun(path));
  if (closed === undefined) return directory;
  rmdirSync(directory);
  throw new PgrecallError('server-rights', `the user postgres, who runs the servers, may not run "${closed}"`, {
    hint: 'put pgrecall where every user can read it, for instance below /opt, or run the demo as another user than root',
    details: { path: closed },
  });
}

function serverUser(): { readonly uid: number; readonly gid: number } {
  try {
    const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { stdio: 'pipe' }));
    return { uid: id('-u'), gid: id('-g') };
  } catch (error) {
    throw new PgrecallError('server-rights', 'PostgreSQL does not run as root, and there is no user postgres', {
      hint: 'make one (useradd --system postgres), or run the demo as another user than root',
      cause: error,
    });
  }
}

function mayRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The first SIGINT or SIGTERM asks for the end (run.ts); a second one, which npm sends along with the terminal's own,
 * must not keep the servers from being stopped. A terminal that is closed asks for the end, too.
 */
function untilServersHaveEnded(): { readonly hangUp: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const hangUp = (): void => controller.abort(new PgrecallError('cancelled', 'interrupted by SIGHUP'));
  const wait = (): void => undefined;
  process.on('SIGHUP', hangUp).on('SIGINT', wait).on('SIGTERM', wait);
  return {
    hangUp: controller.signal,
    release: () => {
      process.off('SIGHUP', hangUp).off('SIGINT', wait).off('SIGTERM', wait);
    },
  };
}
