import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasCode, type PgrecallError } from '../errors/pgrecall-error.ts';
import type { CommandSpec } from './command.ts';
import { commands } from './commands.ts';
import { parseCommandLine, type Invocation } from './program.ts';

const specs: readonly CommandSpec[] = [
  {
    name: 'restore',
    group: 'Recovery',
    positional: ['<cluster>', '[backup]'],
    help: 'put it back',
    options: [
      { flags: '--to <dir>', help: 'where to' },
      { flags: '--target-time <time>', help: 'until when' },
      { flags: '--tablespace <old=new>', help: 'elsewhere', repeatable: true },
      { flags: '--plan', help: 'only say' },
      { flags: '--inner <word>', help: 'what it says to itself', hidden: true },
    ],
    load: async () => Promise.reject(new Error('not in this test')),
  },
  {
    name: 'wal push',
    group: 'WAL',
    positional: ['<path>'],
    help: 'store one',
    options: [{ flags: '--cluster <cluster>', help: 'whose' }],
    load: async () => Promise.reject(new Error('not in this test')),
  },
];

interface Printed {
  out: string;
  err: string;
}

function parse(
  words: string,
  env: NodeJS.ProcessEnv = {},
  table = specs,
): { invocation: Invocation; printed: Printed } {
  const printed: Printed = { out: '', err: '' };
  const invocation = parseCommandLine(words === '' ? [] : words.split(' '), table, {
    version: '1.2.3',
    env,
    writeOut: (text) => (printed.out += text),
    writeErr: (text) => (printed.err += text),
  });
  return { invocation, printed };
}

function asked(words: string, env: NodeJS.ProcessEnv = {}): Invocation & { kind: 'command' } {
  const { invocation } = parse(words, env);
  assert.ok(invocation.kind === 'command', words);
  return invocation;
}

function refused(words: string, env: NodeJS.ProcessEnv = {}): PgrecallError {
  try {
    parse(words, env);
  } catch (error) {
    if (hasCode(error, 'usage')) return error;
    throw error;
  }
  throw new Error(`"${words}" was taken`);
}

describe('the command line', () => {
  it('gives a command its arguments and options by name', () => {
    const {
      spec,
      arguments: given,
      json,
      configFile,
    } = asked('restore main --to /d --plan --tablespace a=b --tablespace c=d --config f.toml --json');
    assert.equal(spec.name, 'restore');
    assert.deepEqual(given.positional, { cluster: 'main', backup: undefined });
    assert.equal(given.options['to'], '/d');
    assert.equal(given.options['plan'], true);
    assert.deepEqual(given.options['tablespace'], ['a=b', 'c=d']);
    assert.equal(json, true);
    assert.equal(configFile, 'f.toml');
    assert.equal(asked('wal push pg_wal/x --cluster main').spec.name, 'wal push');
  });

  it('takes --config and --json before the command, too', () => {
    for (const words of ['--json --config f restore main', 'restore main --config f --json']) {
      assert.equal(asked(words).json, true, words);
      assert.equal(asked(words).configFile, 'f', words);
    }
    assert.equal(asked('wal --json push p').json, true);
    assert.equal(asked('--config a restore main --config b').configFile, 'b');
  });

  it('leaves options that were not given undefined, repeatable ones as well', () => {
    const { options } = asked('restore main').arguments;
    assert.deepEqual([options['to'], options['plan'], options['tablespace']], [undefined, undefined, undefined]);
  });

  it('names the nearest known word for one that is not known', () => {
    for (const [words, nearest] of [
      ['restroe main', 'restore'],
      ['restore main --too /d', '--to'],
      ['restore main --target-tme x', '--target-time'],
      ['wal psh p', 'push'],
      ['help restor', 'restore'],
      ['help wal pus', 'wal push'],
    ] as const) {
      const error = refused(words);
      assert.equal(error.details['nearest'], nearest, words);
      assert.equal(error.hint, `did you mean "${nearest}"?`);
      assert.equal(error.exitStatus, 2);
    }
    assert.match(refused('frobnicate').message, /unknown command "frobnicate"/);
  });

  it('says what is missing or too much', () => {
    assert.match(refused('restore').message, /missing required argument "cluster"/);
    assert.match(refused('restore main --to').message, /option "--to <dir>" argument missing/);
    assert.match(refused('restore a b c').message, /too many arguments/);
  });
});

describe('the environment', () => {
  it('sets any option of the command, and gives way to the command line', () => {
    const env = {
      PGRECALL_TO: '/env',
      PGRECALL_TARGET_TIME: '2026-11-23 08:00+00',
      PGRECALL_TABLESPACE: 'a=b\nc=d\n',
      PGRECALL_PLAN: '1',
      PGRECALL_JSON: 'true',
      PGRECALL_CONFIG: 'env.toml',
      PGRECALL_INNER: 'x',
      PGRECALL_CLUSTER: 'main',
    };
    const fromEnvironment = asked('restore main', env);
    const { options } = fromEnvironment.arguments;
    assert.equal(options['to'], '/env');
    assert.equal(options['targetTime'], '2026-11-23 08:00+00');
    assert.deepEqual(options['tablespace'], ['a=b', 'c=d']);
    assert.equal(options['plan'], true);
    assert.equal(options['inner'], undefined, 'hidden options are not for the world outside');
    assert.equal(fromEnvironment.json, true);
    assert.equal(fromEnvironment.configFile, 'env.toml');
    assert.equal(asked('restore main --to /cli', env).arguments.options['to'], '/cli');
    assert.equal(asked('wal push p', env).arguments.options['cluster'], 'main');
  });

  it('does not set a flag that it denies', () => {
    for (const text of ['0', 'no', 'off', 'False', '']) {
      assert.equal(asked('restore main', { PGRECALL_PLAN: text }).arguments.options['plan'], undefined, text);
    }
    assert.match(refused('restore main', { PGRECALL_PLAN: 'maybe' }).message, /PGRECALL_PLAN is "maybe"/);
  });

  it('is refused where a variable is nearly an option', () => {
    const error = refused('restore main', { PGRECALL_TARGET_TIM: 'x' });
    assert.equal(error.hint, 'did you mean PGRECALL_TARGET_TIME?');
    assert.match(refused('restore main', { PGRECALL_PASPHRASE: 'x' }).hint ?? '', /PGRECALL_PASSPHRASE/);
    asked('restore main', { PGRECALL_PASSPHRASE: 'x', PGRECALL_WORKSHOP: 'x', PGRECALL_TEST_MAJORS: '15', OTHER: 'x' });
  });
});

describe('help', () => {
  it('goes to stdout where it was asked for', () => {
    for (const words of ['--help', 'help']) {
      const { invocation, printed } = parse(words);
      assert.deepEqual(invocation, { kind: 'printed', exitStatus: 0 });
      assert.match(printed.out, /restore CLUSTER \[BACKUP\]\s+put it back/);
      assert.match(printed.out, /Exit status: 0 done/);
      assert.equal(printed.err, '');
    }
  });

  it('describes one command', () => {
    for (const words of ['help restore', 'restore --help']) {
      const { invocation, printed } = parse(words);
      assert.deepEqual(invocation, { kind: 'printed', exitStatus: 0 });
      assert.match(printed.out, /--target-time <time>\s+until when/);
      assert.doesNotMatch(printed.out, /--inner/);
    }
    assert.match(parse('help wal push').printed.out, /--cluster <cluster>\s+whose/);
    assert.match(parse('help wal').printed.out, /push PATH\s+store one/);
  });

  it('goes to stderr, as an error of usage, where no command was given', () => {
    for (const words of ['', 'wal']) {
      const { invocation, printed } = parse(words);
      assert.deepEqual(invocation, { kind: 'printed', exitStatus: 2 });
      assert.match(printed.err, /Usage: pgrecall/);
      assert.equal(printed.out, '');
    }
  });

  it('prints the version', () => {
    assert.equal(parse('--version').printed.out, '1.2.3\n');
  });
});

describe('the table of commands', () => {
  it('is one that the program can be made from, with a help for each', () => {
    const { printed } = parse('--help', {}, commands);
    for (const { name, group } of commands) {
      assert.ok(group !== undefined, `${name} has no group`);
      const word = name.split(' ')[0] ?? name;
      assert.match(printed.out, new RegExp(`^  ${word}\\b`, 'm'));
      assert.match(parse(`help ${name}`, {}, commands).printed.out, new RegExp(`^Usage: pgrecall ${name}`));
    }
  });

  it('loads every command', async () => {
    for (const { name, load } of commands) assert.equal(typeof (await load()), 'function', name);
  });
});
