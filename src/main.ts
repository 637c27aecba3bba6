import { accessSync, constants } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// In a checkout the sources are run unbuilt; the cache spares removing their types at every start. The server's user,
// who starts us for each WAL segment, may seldom write where the program lies.
enableCompileCache(cacheDirectory());

function cacheDirectory(): string {
  const modules = join(root, 'node_modules');
  try {
    accessSync(modules, constants.W_OK);
    return join(modules, '.cache', 'compile');
  } catch {
    return join(homeDirectory(), '.cache', 'pgrecall', 'compile');
  }
}

function homeDirectory(): string {
  try {
    return userInfo().homedir;
  } catch {
    return '/nonexistent';
  }
}

const { run } = await import('./cli/run.ts');
process.exitCode = await run(process.argv.slice(2), resolve(root, 'bin/pgrecall'));
