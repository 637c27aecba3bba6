import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainFailure } from './explain-failure.ts';

const explain = (lines: readonly string[], killedBy: NodeJS.Signals | null = null): ReturnType<typeof explainFailure> =>
  explainFailure({
    name: 'pg_dump',
    of: 'database "shop"',
    user: 'clerk',
    ending: { exitStatus: killedBy === null ? 1 : null, killedBy, lines },
  });

/** What pg_dump 15 and 18 say: code, what the message has, what the hint has. */
const said: readonly (readonly [lines: readonly string[], code: string, message: RegExp, hint: RegExp])[] = [
  [
    [
      'pg_dump: error: query failed: ERROR:  permission denied for table film',
      'pg_dump: detail: Query was: LOCK TABLE',
    ],
    'server-rights',
    /^pg_dump of database "shop" ended with status 1: query failed: ERROR: {2}permission denied for table film$/,
    /^GRANT SELECT ON film TO "clerk"/,
  ],
  [
    ['pg_dump: error: query failed: ERROR:  permission denied for schema own'],
    'server-rights',
    /schema own/,
    /pg_read_all/,
  ],
  [
    ['pg_dump: error: query failed: ERROR:  permission denied for large object 4711'],
    'server-rights',
    /large object 4711/,
    /^GRANT SELECT ON LARGE OBJECT 4711 TO "clerk"/,
  ],
  [
    ['pg_dumpall: error: query failed: ERROR:  permission denied for table pg_authid'],
    'server-rights',
    /pg_authid/,
    /superusers alone/,
  ],
  [
    ['pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table "film"'],
    'server-rights',
    /row-level security/,
    /BYPASSRLS/,
  ],
  [
    [
      'pg_dump: error: connection to server on socket "/s" failed: FATAL:  password authentication failed for user "clerk"',
    ],
    'connection',
    /password authentication failed/,
    /\.pgpass/,
  ],
  [
    ['pg_dump: error: connection to server on socket "/s" failed: FATAL:  database "shop" does not exist'],
    'database-unknown',
    /does not exist/,
    /dropped/,
  ],
  [
    [
      'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.',
      'pg_dump: detail: Error message from server: server closed the connection unexpectedly',
    ],
    'connection',
    /contents of table "t" failed/,
    /stopped or restarted/,
  ],
  [['pg_dump: error: aborting because of server version mismatch'], 'server-program-missing', /mismatch/, /pg_bin/],
  [['pg_dump: error: could not write to file: No space left on device'], 'disk-full', /No space left/, /TMPDIR/],
  [['pg_dump: error: no matching tables were found'], 'usage', /no matching tables/, /upper case/],
  [
    ["pg_dump: unrecognized option '--nothing'", 'pg_dump: hint: Try "pg_dump --help"'],
    'usage',
    /unrecognized/,
    /--help/,
  ],
  [
    ['database name contains a newline or carriage return: "a', 'b"'],
    'dump-failed',
    /status 1: database name contains a newline/,
    /tar format/,
  ],
  [['pg_dump: warning: something', 'pg_dump: error: else'], 'dump-failed', /status 1: else$/, /nothing half-made/],
  [[], 'dump-failed', /^pg_dump of database "shop" ended with status 1$/, /nothing half-made/],
];

describe('what pg_dump says when it fails', () => {
  for (const [lines, code, message, hint] of said) {
    it(`is told as ${code}: ${lines[0] ?? 'nothing'}`, () => {
      const error = explain(lines);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.match(error.hint ?? '', hint);
      assert.deepEqual(error.details['lines'], lines);
    });
  }

  it('is nothing where a signal ended it: that is named, and who may have sent it', () => {
    const killed = explain([], 'SIGKILL');
    assert.deepEqual(
      [killed.code, killed.message],
      ['dump-failed', 'pg_dump of database "shop" was ended by the signal SIGKILL'],
    );
    assert.match(killed.hint ?? '', /memory ran out/);
    assert.match(explain([], 'SIGTERM').hint ?? '', /somebody ended it/);
  });
});
