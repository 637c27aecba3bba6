import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './cli/run.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.exitCode = await run(process.argv.slice(2), resolve(root, 'bin/pgrecall'));
