/*
 * Starts the program, which the launcher bin/pgrecall has found a Node for. JavaScript, because it says where compiled
 * code is kept: a single module loaded before that whose types had to be removed would cost every start 40 ms of CPU.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = cacheDirectory();
enableCompileCache(cache);
// Threads look for theirs in the environment.
process.env.NODE_COMPILE_CACHE = cache;

// The launcher's, for this process alone: not for servers and others that are started from here.
for (const name of ['MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_']) delete process.env[name];

const sources = join(root, 'src', 'main.ts');
await import(pathToFileURL(existsSync(sources) ? sources : join(root, 'dist', 'main.js')).href);

// The server's user, who starts us for each WAL segment, may seldom write where the program lies.
function cacheDirectory() {
  const modules = join(root, 'node_modules');
  try {
    accessSync(modules, constants.W_OK);
    return join(modules, '.cache', 'compile');
  } catch {
    return join(homeDirectory(), '.cache', 'pgrecall', 'compile');
  }
}

function homeDirectory() {
  try {
    return userInfo().homedir;
  } catch {
    return '/nonexistent';
  }
}
