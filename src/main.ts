import { enableCompileCache } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// In a checkout the sources are run unbuilt; the cache spares removing their types at every start.
enableCompileCache(join(root, 'node_modules', '.cache', 'compile'));

const { run } = await import('./cli/run.ts');
process.exitCode = await run(process.argv.slice(2), resolve(root, 'bin/pgrecall'));
