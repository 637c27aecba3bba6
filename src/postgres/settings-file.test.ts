import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSettings } from './settings-file.ts';

function one(line: string): [string, string] | undefined {
  const [found] = parseSettings(line);
  return found && [found.name, found.value];
}

describe('postgresql.conf', () => {
  const lines: readonly (readonly [string, [string, string] | undefined])[] = [
    ['port = 5432', ['port', '5432']],
    ['  port 5432  ', ['port', '5432']],
    ['port=5432#comment', ['port', '5432']],
    ['PORT = 5432', ['port', '5432']],
    ["data_directory = '/srv/data'\t\t# use data in another directory", ['data_directory', '/srv/data']],
    ["include_dir 'conf.d'", ['include_dir', 'conf.d']],
    ["archive_command = 'test ! -f ''%f'' # no comment'", ['archive_command', "test ! -f '%f' # no comment"]],
    ["a.b = 'x\\ty\\\\z\\'q\\101'", ['a.b', "x\ty\\z'qA"]],
    ["cluster_name = ''", ['cluster_name', '']],
    ["hba_file='/etc/데이터/pg_hba.conf'\r", ['hba_file', '/etc/데이터/pg_hba.conf']],
    ['checkpoint_completion_target = 0.9', ['checkpoint_completion_target', '0.9']],
    ['#port = 5432', undefined],
    ['', undefined],
    ['port', undefined],
    ["port = '5432", undefined],
    ['= 5', undefined],
    ['port = 5432 5433', undefined],
  ];
  for (const [line, expected] of lines) {
    it(`says ${JSON.stringify(expected)} in ${JSON.stringify(line)}`, () => {
      assert.deepEqual(one(line), expected);
    });
  }

  it('is read in order, with the numbers of its lines', () => {
    assert.deepEqual(parseSettings("# first\nport = 1\n\nport = '2'\n"), [
      { name: 'port', value: '1', line: 1 },
      { name: 'port', value: '2', line: 3 },
    ]);
  });
});
