import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StubLauncher, runScript, type Ended } from '../../test/support/scripts.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { archiveCommandScript, fileIdentity, quoteForShell } from './archive-command.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-archive-command-'));
after(() => rmSync(root, { recursive: true, force: true }));

const name = '000000010000000000000007';

/** A data directory with a finished segment, and the script for it. */
class Site {
  readonly directory: string;
  readonly launcher: StubLauncher;
  readonly acknowledgements: Acknowledgements;
  readonly segment: string;
  readonly #script: string;

  constructor(folder = 'site') {
    this.directory = join(mkdtempSync(join(root, 's')), folder);
    this.launcher = new StubLauncher(join(this.directory, 'bin'));
    const stateDirectory = join(this.directory, 'state');
    this.acknowledgements = new Acknowledgements(stateDirectory);
    mkdirSync(join(this.directory, 'pg_wal'));
    this.segment = join(this.directory, 'pg_wal', name);
    writeFileSync(this.segment, 'a segment');
    this.#script = join(this.directory, 'archive-command');
    const script = archiveCommandScript({
      launcher: this.launcher.path,
      configFile: join(this.directory, 'pgrecall.toml'),
      cluster: 'main',
      stateDirectory,
      dataDirectory: this.directory,
    });
    writeFileSync(this.#script, script);
  }

  /** Has the server wait with those files. */
  wait(...names: readonly string[]): void {
    mkdirSync(join(this.directory, 'pg_wal', 'archive_status'));
    for (const waiting of names)
      writeFileSync(join(this.directory, 'pg_wal', 'archive_status', `${waiting}.ready`), '');
  }

  get walDirectory(): string {
    return join(this.directory, 'pg_wal');
  }

  identity(): string {
    return fileIdentity(statSync(this.segment));
  }

  /** As the server calls it: with a path that counts from the data directory. */
  async archive(): Promise<Ended> {
    return runScript(this.#script, [`pg_wal/${name}`, name], this.directory);
  }
}

/** A process that lives until the test ends it, and has a pipe open, if one is named, as the archiver has its bell. */
function someProcess(pipe?: string): { readonly pid: number; end(): Promise<void> } {
  const child =
    pipe === undefined
      ? spawn('sleep', ['60'], { stdio: 'ignore' })
      : spawn('sh', ['-c', 'exec 5<>"$1"; exec sleep 60', 'sh', pipe], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => {
    child.on('exit', () => resolve());
  });
  return {
    pid: child.pid ?? 0,
    end: async () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

describe('the archive_command', () => {
  it('says yes to what is acknowledged, without starting anything', async () => {
    const site = new Site();
    site.acknowledgements.stored(name, site.identity());
    assert.equal((await site.archive()).status, 0);
    assert.deepEqual(site.launcher.calls, []);
  });

  it('pushes what nobody has acknowledged, and passes on how that ended', async () => {
    const site = new Site();
    for (const status of [0, 1, 3]) {
      site.launcher.endsWith(status);
      assert.equal((await site.archive()).status, status);
    }
    assert.deepEqual(site.launcher.calls.slice(0, 7), [
      'wal',
      'push',
      `pg_wal/${name}`,
      '--cluster',
      'main',
      '--config',
      join(site.directory, 'pgrecall.toml'),
    ]);
  });

  it('starts an archiver where more waits, and pushes itself where that one does not come up', async () => {
    const site = new Site();
    site.wait(name, '000000010000000000000008');
    assert.equal((await site.archive()).status, 0);
    const [started, pushed] = [site.launcher.calls.indexOf('archive'), site.launcher.calls.indexOf('push')];
    assert.ok(started > 0 && pushed > started, site.launcher.calls.join(' '));
    const directory = site.launcher.calls[site.launcher.calls.indexOf('--data-directory') + 1];
    assert.equal(directory, site.directory);
  });

  it('does not believe the acknowledgement of another file that had the name', async () => {
    const changes: readonly ((site: Site) => void)[] = [
      (site) => {
        copyFileSync(site.segment, `${site.segment}.copy`);
        const { atime, mtime } = statSync(site.segment);
        utimesSync(`${site.segment}.copy`, atime, mtime);
        renameSync(`${site.segment}.copy`, site.segment);
      },
      (site) => writeFileSync(site.segment, 'a segment, longer'),
      (site) => utimesSync(site.segment, 1_800_000_000, 1_800_000_000),
    ];
    for (const [i, change] of changes.entries()) {
      const site = new Site();
      site.acknowledgements.stored(name, site.identity());
      change(site);
      site.launcher.endsWith(9);
      assert.equal((await site.archive()).status, 9, `change ${i}`);
    }
  });

  it('does not believe half an acknowledgement, or an empty one', async () => {
    const site = new Site();
    site.launcher.endsWith(9);
    for (const text of ['', '\n', site.identity().slice(0, -1), `x${site.identity()}\n`]) {
      writeFileSync(join(site.acknowledgements.directory, 'ok', name), text);
      assert.equal((await site.archive()).status, 9, JSON.stringify(text));
    }
  });

  it('waits while an archiver works, and takes its word', async () => {
    const site = new Site();
    site.acknowledgements.announce(process.pid, site.walDirectory);
    const archived = site.archive();
    await sleep(200);
    site.acknowledgements.stored(name, site.identity());
    const { status, elapsedMs } = await archived;
    assert.equal(status, 0);
    assert.ok(elapsedMs >= 200);
    assert.deepEqual(site.launcher.calls, []);
  });

  it('does not wait for the archiver of another server, as of the old primary after a failover on one host', async () => {
    const site = new Site();
    const other = new Site();
    site.acknowledgements.announce(process.pid, other.walDirectory);
    const { status } = await site.archive();
    assert.equal(status, 0);
    assert.equal(site.launcher.calls[1], 'push');
  });

  it('hands on why the archiver could not store it', async () => {
    const site = new Site();
    site.acknowledgements.announce(process.pid, site.walDirectory);
    site.acknowledgements.failed(name, site.identity(), 'error[disk-full]: no space left\n  hint: make room');
    const { status, stderr } = await site.archive();
    assert.equal(status, 1);
    assert.equal(stderr, 'error[disk-full]: no space left\n  hint: make room\n');
    assert.deepEqual(site.launcher.calls, []);
    site.acknowledgements.stored(name, site.identity());
    assert.equal((await site.archive()).status, 0, 'a later success takes the place of a failure');
  });

  it('does not take an earlier file’s failure for this one’s', async () => {
    const site = new Site();
    site.acknowledgements.announce(process.pid, site.walDirectory);
    site.acknowledgements.failed(name, '1 2 3', 'of another file');
    const archived = site.archive();
    await sleep(100);
    site.acknowledgements.stored(name, site.identity());
    const { status, stderr } = await archived;
    assert.deepEqual([status, stderr], [0, '']);
  });

  it('pushes itself when the archiver dies or leaves', async () => {
    for (const leave of ['dies', 'leaves'] as const) {
      const site = new Site();
      const archiver = someProcess();
      site.acknowledgements.announce(archiver.pid, site.walDirectory);
      const archived = site.archive();
      await sleep(100);
      assert.deepEqual(site.launcher.calls, []);
      if (leave === 'leaves') site.acknowledgements.withdraw();
      else await archiver.end();
      assert.equal((await archived).status, 0);
      assert.equal(site.launcher.calls[1], 'push', leave);
      await archiver.end();
    }
  });

  it('pushes itself when the archiver dies while it waits for the bell', async () => {
    const site = new Site();
    const bell = join(site.acknowledgements.directory, 'bell');
    execFileSync('mkfifo', [bell]);
    const archiver = someProcess(bell);
    site.acknowledgements.announce(archiver.pid, site.walDirectory);
    const archived = site.archive();
    await sleep(100);
    assert.deepEqual(site.launcher.calls, []);
    await archiver.end();
    assert.deepEqual([(await archived).status, (await archived).stderr], [0, '']);
    assert.equal(site.launcher.calls[1], 'push');
    // Who finds the bell then finds nobody at it, and does not wait.
    assert.equal((await site.archive()).status, 0);
  });

  it('hears the bell of an archiver, and then the reason for a failure', async () => {
    const site = new Site();
    const { acknowledgements } = site;
    await acknowledgements.bell.hang();
    acknowledgements.announce(process.pid, site.walDirectory);
    const archived = site.archive();
    await sleep(100);
    acknowledgements.stored('000000010000000000000006', '1 2 3');
    await sleep(100);
    acknowledgements.failed(name, site.identity(), 'error[disk-full]: no space left');
    assert.deepEqual([(await archived).status, (await archived).stderr], [1, 'error[disk-full]: no space left\n']);
    acknowledgements.bell.close();
    assert.deepEqual(site.launcher.calls, []);
  });

  it('pushes itself when a living archiver says nothing of the file for half a minute', async () => {
    const site = new Site();
    await site.acknowledgements.bell.hang();
    site.acknowledgements.announce(process.pid, site.walDirectory);
    const archived = site.archive();
    const ticking = setInterval(() => site.acknowledgements.bell.tick(), 5);
    assert.equal((await archived).status, 0);
    clearInterval(ticking);
    site.acknowledgements.bell.close();
    assert.equal(site.launcher.calls[1], 'push');
  });

  it('does not wait for a process that has the number of an archiver long dead', async () => {
    for (const line of [`${process.pid} 1`, `${process.pid}`, `${process.pid} `, 'nonsense', '']) {
      const site = new Site();
      writeFileSync(join(site.acknowledgements.directory, 'pid'), `${line}\n`);
      const { status, elapsedMs } = await site.archive();
      assert.equal(status, 0);
      assert.ok(elapsedMs < 10_000, `${line}: ${elapsedMs} ms`);
      assert.equal(site.launcher.calls[1], 'push');
    }
  });

  it('ignores the failures of an archiver that is gone', async () => {
    await ignoresOldFailure(new Site());
    const waiting = new Site();
    waiting.wait(name, '000000010000000000000008');
    await ignoresOldFailure(waiting);
  });

  async function ignoresOldFailure(site: Site): Promise<void> {
    site.acknowledgements.failed(name, site.identity(), 'long ago');
    const { status, stderr } = await site.archive();
    assert.deepEqual([status, stderr], [0, '']);
    assert.ok(site.launcher.calls.includes('push'));
  }

  it('fails where the file is not there', async () => {
    const site = new Site();
    rmSync(site.segment);
    const { status, stderr } = await site.archive();
    assert.equal(status, 1);
    assert.match(stderr, /No such file/);
  });

  it('works below any directory', async () => {
    for (const folder of ['with space', `it's "quoted"`, '$HOME `id` \\n', '-rf *', '한글']) {
      const site = new Site(folder);
      site.launcher.endsWith(7);
      assert.equal((await site.archive()).status, 7, folder);
      assert.equal(site.launcher.calls[6], join(site.directory, 'pgrecall.toml'));
      site.acknowledgements.stored(name, site.identity());
      assert.equal((await site.archive()).status, 0, folder);
    }
  });
});

describe('a text quoted for the shell', () => {
  it('is left alone where nothing in it has a meaning', () => {
    for (const text of ['/usr/bin/pgrecall', 'a-b_c.d:e@f+g']) assert.equal(quoteForShell(text), text);
    assert.equal(quoteForShell(''), "''");
    assert.equal(quoteForShell("it's"), `'it'\\''s'`);
  });
});

describe('acknowledgements', () => {
  it('are forgotten when the server has taken note', () => {
    const site = new Site();
    const { acknowledgements } = site;
    acknowledgements.stored('a', '1 2 3');
    acknowledgements.stored('b', '1 2 3');
    acknowledgements.failed('c', '1 2 3', 'why');
    acknowledgements.keepOnly(new Set(['b']));
    const left = ['ok/a', 'ok/b', 'failed/c'].map((path) =>
      statSync(join(acknowledgements.directory, path), { throwIfNoEntry: false }),
    );
    assert.deepEqual(left.map(Boolean), [false, true, false]);
    acknowledgements.withdraw();
    acknowledgements.withdraw();
  });
});
