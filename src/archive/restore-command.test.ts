import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StubLauncher, runScript, type Ended } from '../../test/support/scripts.ts';
import { announcement } from './announced-process.ts';
import { absentStatus, aheadDirectory, restoreCommandScript, restoreScriptPath } from './restore-command.ts';

const root = mkdtempSync(join(tmpdir(), 'pgrecall-restore-command-'));
after(() => rmSync(root, { recursive: true, force: true }));

const name = '000000010000000000000007';
const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** A data directory that recovers. */
class Site {
  readonly directory: string;
  readonly launcher: StubLauncher;

  constructor(folder = 'site') {
    this.directory = join(mkdtempSync(join(root, 's')), folder);
    this.launcher = new StubLauncher(join(this.directory, 'bin'));
    mkdirSync(join(this.directory, 'pg_wal', 'pgrecall'), { recursive: true });
    const script = restoreCommandScript({
      launcher: this.launcher.path,
      configFile: join(this.directory, 'pgrecall.toml'),
      cluster: 'main',
      stateDirectory: join(this.directory, 'state'),
      dataDirectory: this.directory,
    });
    writeFileSync(restoreScriptPath(this.directory), script);
  }

  /** Where a prefetcher of that boot puts segments; made. */
  ahead(of = boot): string {
    const directory = aheadDirectory(this.directory, of);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  get target(): string {
    return join(this.directory, 'pg_wal', 'RECOVERYXLOG');
  }

  async restore(): Promise<Ended> {
    return runScript(restoreScriptPath(this.directory), [name, 'pg_wal/RECOVERYXLOG'], this.directory);
  }
}

describe('the restore_command', () => {
  it('takes a segment that waits, without starting anything', async () => {
    const site = new Site();
    writeFileSync(join(site.ahead(), name), 'fetched');
    assert.equal((await site.restore()).status, 0);
    assert.equal(readFileSync(site.target, 'utf8'), 'fetched');
    assert.deepEqual(readdirSync(site.ahead()), []);
    assert.deepEqual(site.launcher.calls, []);
  });

  it('waits for a segment that is coming', async () => {
    const site = new Site();
    const ahead = site.ahead();
    writeFileSync(join(ahead, 'pid'), announcement(process.pid));
    writeFileSync(join(ahead, `${name}.coming`), '');
    const restored = site.restore();
    await sleep(200);
    assert.ok(!existsSync(site.target));
    writeFileSync(join(ahead, name), 'fetched');
    assert.equal((await restored).status, 0);
    assert.equal(readFileSync(site.target, 'utf8'), 'fetched');
    assert.deepEqual(site.launcher.calls, []);
  });

  it('fetches itself what nobody fetches, or whose prefetcher is dead, or gives up', async () => {
    const arrange: readonly ((site: Site) => void)[] = [
      () => undefined,
      (site) => writeFileSync(join(site.ahead(), `${name}.coming`), ''),
      (site) => {
        writeFileSync(join(site.ahead(), `${name}.coming`), '');
        writeFileSync(join(site.ahead(), 'pid'), '999999999\n');
      },
      (site) => {
        writeFileSync(join(site.ahead(), `${name}.coming`), '');
        // Another process has the number now.
        writeFileSync(join(site.ahead(), 'pid'), `${process.pid} 1\n`);
      },
      (site) => writeFileSync(join(site.ahead(), 'pid'), announcement(process.pid)),
    ];
    for (const [i, prepare] of arrange.entries()) {
      const site = new Site();
      prepare(site);
      assert.equal((await site.restore()).status, 0);
      const { calls } = site.launcher;
      // Where none runs that is alive, one is started for what follows.
      assert.equal(calls.includes('prefetch'), i < 4, `case ${i}`);
      assert.deepEqual(
        calls.slice(calls.indexOf('get') - 1),
        [
          'wal',
          'get',
          name,
          'pg_wal/RECOVERYXLOG',
          '--cluster',
          'main',
          '--config',
          join(site.directory, 'pgrecall.toml'),
          '--ahead',
          site.directory,
        ],
        `case ${i}`,
      );
    }
  });

  it('goes on by itself when the prefetcher gives a segment up', async () => {
    const site = new Site();
    const ahead = site.ahead();
    writeFileSync(join(ahead, 'pid'), announcement(process.pid));
    writeFileSync(join(ahead, `${name}.coming`), '');
    const restored = site.restore();
    await sleep(100);
    rmSync(join(ahead, `${name}.coming`));
    assert.equal((await restored).status, 0);
    assert.equal(site.launcher.calls[1], 'get');
  });

  it('never takes what was fetched before a power cut', async () => {
    const site = new Site();
    const stale = site.ahead('11111111-2222-3333-4444-555555555555');
    writeFileSync(join(stale, name), 'perhaps half written');
    site.launcher.endsWith(absentStatus);
    assert.equal((await site.restore()).status, 1);
    assert.ok(!existsSync(site.target));
    assert.deepEqual(readdirSync(stale), [name]);
  });

  it('says 1 only where the archive has no such file', async () => {
    const site = new Site();
    site.launcher.endsWith(absentStatus);
    assert.equal((await site.restore()).status, 1);
    // A Node that does not start has the status 1, wrong usage 2, damage 3.
    for (const status of [1, 2, 3, 4, 5, 125]) {
      site.launcher.endsWith(status);
      assert.equal((await site.restore()).status, 126, `status ${status}`);
    }
    site.launcher.endsWith('killed');
    assert.equal((await site.restore()).status, 137);
    rmSync(site.launcher.path);
    assert.equal((await site.restore()).status, 127);
  });

  it('lets a standby ask again, whatever went wrong', async () => {
    const site = new Site();
    writeFileSync(join(site.directory, 'standby.signal'), '');
    for (const status of [absentStatus, 1, 3, 126, 'killed'] as const) {
      site.launcher.endsWith(status);
      assert.equal((await site.restore()).status, 1, `status ${status}`);
    }
    site.launcher.endsWith(0);
    assert.equal((await site.restore()).status, 0);
  });

  it('works below any directory', async () => {
    for (const folder of ['with space', `it's "quoted"`, '$HOME `id` \\n', '-rf *', '한글']) {
      const site = new Site(folder);
      assert.equal((await site.restore()).status, 0, folder);
      assert.equal(site.launcher.calls.at(-1), site.directory);
      writeFileSync(join(site.ahead(), name), folder);
      assert.equal((await site.restore()).status, 0, folder);
      assert.equal(readFileSync(site.target, 'utf8'), folder);
    }
  });
});
