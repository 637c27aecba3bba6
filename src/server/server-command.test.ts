import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { directoryOf, parseServerCommand, settingsOf } from './server-command.ts';

/* cat /var/lib/postgresql/15/main/postmaster.opts of a Debian server */
const debian =
  '/usr/lib/postgresql/15/bin/postgres "-D" "/var/lib/postgresql/15/main" "-c" "config_file=/etc/postgresql/15/main/postgresql.conf" "-c" "external_pid_file=/var/run/postgresql/15-main.pid"\n';

describe('postmaster.opts', () => {
  it('is the program and its arguments', () => {
    const found = parseServerCommand(debian);
    assert.deepEqual(found, {
      program: '/usr/lib/postgresql/15/bin/postgres',
      arguments: [
        '-D',
        '/var/lib/postgresql/15/main',
        '-c',
        'config_file=/etc/postgresql/15/main/postgresql.conf',
        '-c',
        'external_pid_file=/var/run/postgresql/15-main.pid',
      ],
    });
    assert.equal(directoryOf(found), '/var/lib/postgresql/15/main');
    assert.deepEqual(
      [...settingsOf(found)],
      [
        ['config_file', '/etc/postgresql/15/main/postgresql.conf'],
        ['external_pid_file', '/var/run/postgresql/15-main.pid'],
      ],
    );
  });

  it('may have settings in every way that postgres takes them', () => {
    const found = parseServerCommand('/opt/my server/postgres "--config-file=/a" "-cport=1" "-c" "port=2" "-D/b" "-i"');
    assert.equal(found?.program, '/opt/my server/postgres');
    assert.deepEqual(
      [...settingsOf(found)],
      [
        ['config_file', '/a'],
        ['port', '2'],
      ],
    );
    assert.equal(directoryOf(found), '/b');
  });

  it('may have no arguments, and spaces in them', () => {
    assert.deepEqual(parseServerCommand('postgres\n'), { program: 'postgres', arguments: [] });
    assert.deepEqual(parseServerCommand('postgres "-D" "a b"'), { program: 'postgres', arguments: ['-D', 'a b'] });
    assert.equal(directoryOf({ program: 'postgres', arguments: ['-c', '-D'] }), undefined);
  });

  for (const text of ['', '\n', ' "-D"', 'postgres "-D', 'postgres "']) {
    it(`is not read from ${JSON.stringify(text)}`, () => {
      assert.equal(parseServerCommand(text), undefined);
    });
  }
});
