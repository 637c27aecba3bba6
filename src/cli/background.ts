import { spawn } from 'node:child_process';

/** Starts a command of pgrecall that goes on when this process has ended; what it has to say goes nowhere. */
export function startInBackground(launcher: string, arguments_: readonly string[], directory: string): void {
  const child = spawn(launcher, [...arguments_], { cwd: directory, detached: true, stdio: 'ignore' });
  // A launcher that cannot be started makes things slow, not wrong.
  child.on('error', () => undefined);
  child.unref();
}
