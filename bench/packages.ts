import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** What the contenders are made of, and the package of Debian that has it. */
const needed: Readonly<Record<string, string>> = {
  '/usr/lib/postgresql/15/bin/pgbench': 'postgresql-15',
  pgbackrest: 'pgbackrest',
  barman: 'barman',
  rsync: 'rsync',
  lz4: 'lz4',
  zstd: 'zstd',
};

/** Installs what is missing where that may be done, else throws with what to do. */
export function installMissing(): void {
  const missing = Object.entries(needed).flatMap(([program, name]) => (isThere(program) ? [] : [name]));
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0) throw new Error(`these packages are missing; as root: ${command}`);
  process.stderr.write(`installing ${missing.join(', ')}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('sh', ['-c', `apt-get update -q && ${command}`], { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function isThere(program: string): boolean {
  const paths = program.startsWith('/') ? [program] : ['/usr/bin', '/usr/local/bin'].map((path) => join(path, program));
  return paths.some((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
