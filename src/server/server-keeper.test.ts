import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { TestCluster } from '../../test/support/cluster.ts';
import { eventually } from '../../test/support/eventually.ts';
import { giveToServer } from '../../test/support/server-user.ts';
import { hasCode } from '../errors/pgrecall-error.ts';
import { findProgram } from './as-owner.ts';
import { findHowStarted, type StartedBy } from './how-started.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { readServerCommand } from './server-command.ts';
import { ServerKeeper } from './server-keeper.ts';
import { startAsStarted, type InterruptedServer } from './stop-and-start.ts';

const root = mkdtempSync(join(tmpdir(), 'pgr-keep-'));
chmodSync(root, 0o711);
const environment = { ...process.env };
after(() => {
  rmSync(root, { recursive: true });
  process.env = environment;
});

const noSystemd = { runs: () => false, cgroupOf: () => '' };

function pidOf(dataDirectory: string): number {
  return readPostmasterPid(dataDirectory)?.pid ?? 0;
}

async function interrupted(cluster: TestCluster, startedBy?: StartedBy): Promise<InterruptedServer> {
  const { dataDirectory, programs } = cluster;
  const how = { dataDirectory, pid: pidOf(dataDirectory), env: process.env, fallbackLog: join(root, 'fallback.log') };
  return {
    dataDirectory,
    startedBy: startedBy ?? (await findHowStarted({ ...how, system: noSystemd })),
    programs,
    stopTimeoutMs: 60_000,
    startTimeoutMs: 60_000,
  };
}

for (const major of [15, 18] as const) {
  describe(`a server of ${major} that is stopped for a while`, () => {
    it('is started again as it was: command line, environment, log', async () => {
      await using cluster = await TestCluster.create({ major });
      await cluster.stop();
      const { dataDirectory, logFile, programs, socketDirectory } = cluster;
      // Quotes, which postmaster.opts cannot tell from its own.
      const options = `-c cluster_name='a "b" c' -c unix_socket_directories=${socketDirectory}`;
      const command = [programs.pgCtl, 'start', '-w', '-D', dataDirectory, '-l', logFile, '-o', options];
      execFileSync('setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', ...command], {
        env: { ...process.env, TZ: 'Asia/Seoul', PGAPPNAME: 'kept' },
        stdio: 'ignore',
        cwd: dataDirectory,
      });
      const before = readServerCommand(dataDirectory);
      const first = pidOf(dataDirectory);
      const keeper = await ServerKeeper.begin(await interrupted(cluster));
      await keeper.stop();
      assert.ok(!cluster.isRunning());
      await keeper.startAgain();
      assert.notEqual(pidOf(dataDirectory), first);
      await using session = await cluster.session();
      assert.deepEqual(await session.query("SELECT current_setting('cluster_name') AS name"), [{ name: 'a "b" c' }]);
      const pid = pidOf(dataDirectory);
      const env = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      assert.ok(env.includes('TZ=Asia/Seoul') && env.includes('PGAPPNAME=kept'));
      assert.equal(readlinkSync(`/proc/${pid}/fd/2`), logFile);
      assert.equal(readServerCommand(dataDirectory)?.arguments.length, before?.arguments.length);
    });

    it('is started again when whoever stopped it is killed', async () => {
      await using cluster = await TestCluster.create({ major });
      const server = await interrupted(cluster);
      const code = `
        import { ServerKeeper } from ${JSON.stringify(new URL('server-keeper.ts', import.meta.url).href)};
        const keeper = await ServerKeeper.begin(${JSON.stringify(server)});
        await keeper.stop();
        console.log('stopped');
        setInterval(() => undefined, 1000);
      `;
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      assert.ok(!cluster.isRunning());
      child.kill('SIGKILL');
      await eventually('the server runs again', () => readPostmasterPid(cluster.dataDirectory)?.status === 'ready');
    });
  });
}

describe('a server that is stopped for a while', () => {
  it('is left alone until it is to be stopped', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const pid = pidOf(cluster.dataDirectory);
    await (await ServerKeeper.begin(await interrupted(cluster))).startAgain();
    assert.equal(pidOf(cluster.dataDirectory), pid);
  });

  it('has appeared, whatever else is not waited for', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const server = { ...(await interrupted(cluster)), startTimeoutMs: 0 };
    await cluster.stop();
    await startAsStarted(server);
    assert.ok(cluster.isRunning());
    await eventually('it is ready', () => readPostmasterPid(cluster.dataDirectory)?.status === 'ready');
  });

  it('is said not to start, and why', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const keeper = await ServerKeeper.begin(await interrupted(cluster));
    await keeper.stop();
    cluster.configure({ shared_buffers: 'much' });
    await assert.rejects(keeper.startAgain(), (error) => {
      assert.ok(hasCode(error, 'server-start'), String(error));
      assert.match(error.message, /invalid value for parameter "shared_buffers"/);
      return true;
    });
  });

  it('is not stopped where it cannot be', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const server = await interrupted(cluster);
    const { startedBy } = server;
    assert.ok(startedBy.kind === 'command');
    const command = { ...startedBy.command, program: '/nowhere/postgres' };
    const keeper = await ServerKeeper.begin({
      ...server,
      startedBy: { ...startedBy, command },
      programs: { ...server.programs, pgCtl: 'false' },
    });
    const pid = pidOf(cluster.dataDirectory);
    await assert.rejects(keeper.stop(), (error) => hasCode(error, 'server-stop'));
    await keeper.startAgain();
    assert.equal(pidOf(cluster.dataDirectory), pid);
  });

  it('is no server that is the first process of a container', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const options = { dataDirectory: cluster.dataDirectory, pid: 1, env: process.env, fallbackLog: '/dev/null' };
    await assert.rejects(
      findHowStarted(options),
      (error) => hasCode(error, 'server-stop') && /container/.test(error.message),
    );
  });
});

describe('a unit of systemd', () => {
  /** Does to a server what systemd would, for a unit that is called demo@1. */
  function fakeSystemctl(cluster: TestCluster): string {
    const { dataDirectory, programs, logFile, socketDirectory } = cluster;
    const directory = mkdtempSync(join(root, 'bin'));
    chmodSync(directory, 0o755);
    const start = `setpriv --reuid=postgres --regid=postgres --clear-groups ${programs.pgCtl} start -w -D ${dataDirectory} -l ${logFile} -o '-c unix_socket_directories=${socketDirectory}'`;
    const lines = [
      '#!/bin/sh',
      `echo "$@" >>${directory}/calls`,
      `case $1 in --no-ask-password) shift ;; esac`,
      'case $1 in',
      `  show) head -n 1 ${dataDirectory}/postmaster.pid ;;`,
      `  stop) [ ! -e ${directory}/denied ] || { echo 'Access denied' >&2; exit 1; }`,
      `    kill -INT "$(head -n 1 ${dataDirectory}/postmaster.pid)"`,
      `    while [ -e ${dataDirectory}/postmaster.pid ]; do sleep 0.05; done; sleep 0.2 ;;`,
      `  start) ${start} >/dev/null ;;`,
      'esac',
    ];
    writeFileSync(join(directory, 'systemctl'), `${lines.join('\n')}\n`, { mode: 0o755 });
    process.env['PATH'] = `${directory}${delimiter}${environment['PATH']}`;
    return directory;
  }

  const cgroup = '0::/system.slice/system-demo.slice/demo@1.service\n';

  it('is stopped and started as one', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    const directory = fakeSystemctl(cluster);
    const pid = pidOf(cluster.dataDirectory);
    const how = { dataDirectory: cluster.dataDirectory, pid, env: process.env, fallbackLog: '/dev/null' };
    const startedBy = await findHowStarted({ ...how, system: { runs: () => true, cgroupOf: () => cgroup } });
    assert.deepEqual(startedBy, { kind: 'systemd', unit: 'demo@1.service' });
    const keeper = await ServerKeeper.begin(await interrupted(cluster, startedBy));
    await keeper.stop();
    assert.ok(!cluster.isRunning());
    await keeper.startAgain();
    assert.ok(cluster.isRunning());
    const calls = readFileSync(join(directory, 'calls'), 'utf8');
    assert.match(calls, /stop -- demo@1\.service\n[^]*start -- demo@1\.service\n/);

    writeFileSync(join(directory, 'denied'), '');
    const denied = await ServerKeeper.begin(await interrupted(cluster, startedBy));
    await assert.rejects(denied.stop(), (error) => {
      assert.ok(hasCode(error, 'server-stop'));
      assert.match(error.message, /Access denied/);
      return true;
    });
    await denied.startAgain();
    assert.ok(cluster.isRunning());
  });

  it('is not what has only started a server from within another one, or a session', async () => {
    await using cluster = await TestCluster.create({ major: 15 });
    fakeSystemctl(cluster);
    const kindOf = async (text: string, pid = pidOf(cluster.dataDirectory)): Promise<string> => {
      const how = { dataDirectory: cluster.dataDirectory, pid, env: process.env, fallbackLog: '/dev/null' };
      return (await findHowStarted({ ...how, system: { runs: () => true, cgroupOf: () => text } })).kind;
    };
    assert.equal(await kindOf(cgroup, process.pid), 'command');
    assert.equal(await kindOf('0::/user.slice/user-1000.slice/session-3.scope\n'), 'command');
    assert.equal(await kindOf('0::/user.slice/user-1000.slice/user@1000.service/app.slice/pg.service\n'), 'command');
    assert.equal(await kindOf('9:name=systemd:/system.slice/demo@1.service\n0::/\n'), 'systemd');
    assert.equal(await kindOf(''), 'command');
  });
});

describe('a cluster of Debian’s', { skip: findProgram('pg_ctlcluster', process.env) === undefined }, () => {
  it('is started by pg_ctlcluster', async () => {
    const directory = mkdtempSync(join(root, 'd'));
    chmodSync(directory, 0o755);
    giveToServer(directory);
    for (const name of ['etc', 'sockets']) {
      mkdirSync(join(directory, name));
      giveToServer(join(directory, name));
    }
    process.env = { ...environment, PG_CLUSTER_CONF_ROOT: join(directory, 'etc') };
    const name = `t${process.pid}`;
    const data = join(directory, 'data');
    const make = [
      '15',
      name,
      '-d',
      data,
      '-s',
      join(directory, 'sockets'),
      '-l',
      join(directory, 'log'),
      '-u',
      'postgres',
    ];
    execFileSync('pg_createcluster', [...make, '--', '--no-sync'], { stdio: 'pipe' });
    const conf = join(directory, 'etc', '15', name, 'postgresql.conf');
    writeFileSync(conf, `${readFileSync(conf, 'utf8')}listen_addresses = ''\nfsync = off\n`);
    const control = (verb: string): void => void execFileSync('pg_ctlcluster', ['15', name, verb], { stdio: 'pipe' });
    try {
      control('start');
      const pid = pidOf(data);
      const startedBy = await findHowStarted({
        dataDirectory: data,
        pid,
        env: process.env,
        fallbackLog: '/dev/null',
        system: noSystemd,
      });
      assert.deepEqual(startedBy.kind === 'pg_ctlcluster' && [startedBy.version, startedBy.name], ['15', name]);
      const keeper = await ServerKeeper.begin({
        dataDirectory: data,
        startedBy,
        programs: { ...(await interruptedPrograms()) },
        stopTimeoutMs: 60_000,
        startTimeoutMs: 60_000,
      });
      await keeper.stop();
      assert.ok(!existsSync(join(data, 'postmaster.pid')));
      await keeper.startAgain();
      assert.notEqual(pidOf(data), pid);
      assert.match(readServerCommand(data)?.arguments.join(' ') ?? '', /external_pid_file=/);
    } finally {
      if (existsSync(join(data, 'postmaster.pid'))) control('stop');
    }
  });
});

async function interruptedPrograms(): Promise<InterruptedServer['programs']> {
  const { findPrograms } = await import('./programs.ts');
  return findPrograms({ major: 15, env: process.env });
}
