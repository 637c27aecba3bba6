import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** PostgreSQL does not run as root; nor does anything that is measured. `directory` becomes its home, `files` its own. */
export function becomePostgres(directory: string, files: readonly string[] = []): void {
  if (process.getuid?.() !== 0) return;
  const [uid, gid] = ['-u', '-g'].map((what) => Number(execFileSync('id', [what, 'postgres'], { encoding: 'utf8' })));
  if (uid === undefined || gid === undefined) throw new Error('there is no user postgres');
  for (const path of [directory, ...files]) chownSync(path, uid, gid);
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  process.env['HOME'] = directory;
  process.env['TMPDIR'] = join(directory, 'tmp');
  mkdirSync(process.env['TMPDIR'], { recursive: true });
}
