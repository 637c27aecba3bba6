import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/*
 * Loaded before a program (`--import`): kills it with SIGKILL right after it has renamed a file to a name that ends in $KILL_AT_FILE for
 * the $KILL_AT_COUNT-th time. What the file holds is appended to $KILL_AT_LOG each time.
 */

const { KILL_AT_FILE: file = '', KILL_AT_COUNT: count = '0', KILL_AT_LOG: log = '' } = process.env;
let seen = 0;

const real = fs.renameSync;
const patched: typeof real = (from, to) => {
  real(from, to);
  if (file === '' || !String(to).endsWith(file)) return;
  seen += 1;
  if (file.endsWith('.json')) fs.appendFileSync(log, `${fs.readFileSync(to, 'utf8').replaceAll('\n', ' ')}\n`);
  if (seen === Number(count)) process.kill(process.pid, 'SIGKILL');
};
fs.renameSync = patched;
syncBuiltinESMExports();
