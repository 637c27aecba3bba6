import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RestoreLines } from './restore-lines.ts';

function read(text: string): { lines: RestoreLines; shown: string[]; objects: string[] } {
  const shown: string[] = [];
  const objects: string[] = [];
  const lines = new RestoreLines({
    onLine: (line) => shown.push(line),
    onObject: (done, what) => objects.push(`${done} ${what}`),
  });
  for (const line of text.split('\n')) lines.take(line);
  return { lines, shown, objects };
}

describe('what pg_restore says', () => {
  it('is told apart: what it does, and what went wrong with which object', () => {
    const { lines, shown, objects } = read(`pg_restore: connecting to database for restore
pg_restore: creating TYPE "public.mood"
pg_restore: creating TABLE "public.a name
of two lines"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 217; 1259 16395 TABLE film clerk
pg_restore: error: could not execute query: ERROR:  role "clerk" does not exist
Command was: ALTER TABLE public.film
  OWNER TO clerk;
pg_restore: processing data for table "public.film"
pg_restore: executing SEQUENCE SET film_id_seq
pg_restore: error: could not execute query: ERROR:  again
pg_restore: warning: errors ignored on restore: 2`);
    assert.deepEqual(objects, [
      ...['1 TYPE "public.mood"', '2 TABLE "public.a name', '3 table "public.film"', '4 SEQUENCE SET film_id_seq'],
    ]);
    assert.equal(lines.errors, 2);
    assert.deepEqual(lines.failures, [
      { message: 'could not execute query: ERROR:  role "clerk" does not exist', entry: 'TABLE film clerk' },
      { message: 'could not execute query: ERROR:  again', entry: 'TABLE film clerk' },
    ]);
    assert.deepEqual(shown, [
      'pg_restore: while PROCESSING TOC:',
      'pg_restore: from TOC entry 217; 1259 16395 TABLE film clerk',
      'pg_restore: error: could not execute query: ERROR:  role "clerk" does not exist',
      'Command was: ALTER TABLE public.film',
      '  OWNER TO clerk;',
      'pg_restore: error: could not execute query: ERROR:  again',
      'pg_restore: warning: errors ignored on restore: 2',
    ]);
  });

  it('of settings that an older server does not know is no failure, unless an object has them', () => {
    const setting = `pg_restore: while INITIALIZING:
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;
`;
    const ignored = 'pg_restore: warning: errors ignored on restore: 1';
    const harmless = read(`${setting}pg_restore: creating TABLE "x"\n${ignored}`);
    assert.equal(harmless.lines.errors, 0);
    assert.equal(harmless.lines.onlyUnknownSettings, true);
    assert.ok(harmless.shown.includes('the server does not know the setting transaction_timeout: it goes without'));
    assert.equal(read(setting).lines.onlyUnknownSettings, false, 'it did not come to its end');
    const other = read(`${setting}pg_restore: error: no\n${ignored}`);
    assert.equal(other.lines.errors, 1);
    assert.equal(other.lines.onlyUnknownSettings, false);
    const real = read(`pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "x.y"
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "work"
Command was: ALTER FUNCTION f() SET work = 1;
${ignored}`);
    assert.equal(real.lines.errors, 2);
    assert.equal(real.lines.failures.length, 2);
  });

  it('is shown up to a bound, and counted beyond it', () => {
    const { lines, shown } = read(
      `${'pg_restore: error: no\nCommand was: x;\n'.repeat(1000)}pg_restore: creating TABLE "x"`,
    );
    assert.equal(lines.errors, 1000);
    assert.equal(lines.failures.length, 100);
    assert.equal(shown.length, 41);
    assert.equal(shown.at(-1), 'further errors are counted, and not shown');
  });
});
