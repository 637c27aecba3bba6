import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SqlSession } from '../../src/connection/sql-session.ts';
import { readPostmasterPid } from '../../src/server/postmaster-pid.ts';
import { kill } from './archiving-site.ts';
import type { CommandResult } from './command-site.ts';
import { eventually } from './eventually.ts';
import { ServerGuard } from './server-guard.ts';
import { giveToServer, serverOwner } from './server-user.ts';

/*
 * A Patroni cluster on loopback: an etcd, and members that are each a Patroni with its PostgreSQL 15, a configuration of
 * pgrecall and a state directory of its own, as on hosts of their own. They share the repository.
 */

const launcher = fileURLToPath(new URL('../../bin/pgrecall', import.meta.url));
const postgresPrograms = '/usr/lib/postgresql/15/bin';

/** What is missing for these tests; `undefined` where all is there. */
export function missingForPatroni(): string | undefined {
  const wanted = {
    patroni: '/usr/bin/patroni',
    'etcd-server': '/usr/bin/etcd',
    'postgresql-15': `${postgresPrograms}/postgres`,
  };
  const missing = Object.entries(wanted)
    .filter(([, path]) => !existsSync(path))
    .map(([name]) => name);
  if (missing.length === 0) return undefined;
  return `${missing.join(', ')} of Debian not installed; sh scripts/setup.sh installs them where it may`;
}

export class PatroniSite {
  readonly directory: string;
  readonly repository: string;
  readonly members: PatroniMember[] = [];
  readonly #guard: ServerGuard;
  readonly #etcdPort: number;
  #etcd: ChildProcess | undefined;

  private constructor(directory: string, etcdPort: number) {
    this.directory = directory;
    this.repository = join(directory, 'repository');
    this.#guard = new ServerGuard(directory);
    this.#etcdPort = etcdPort;
  }

  /** Etcd runs, and there are so many members, none of which does. */
  static async make(members: number): Promise<PatroniSite> {
    const directory = mkdtempSync(join(tmpdir(), 'pgr-patroni-'));
    chmodSync(directory, 0o700);
    giveToServer(directory);
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const site = new PatroniSite(directory, clientPort);
    makeOwned(site.repository);
    const client = `http://127.0.0.1:${clientPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    site.#etcd = startIn(directory, 'etcd', '/usr/bin/etcd', [
      ...['--name', 'one', '--data-dir', join(directory, 'etcd')],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `one=${peer}`],
    ]);
    await eventually('etcd answers', async () => answers(`${client}/health`), { timeoutMs: 20_000 });
    for (let number = 1; number <= members; number += 1) await site.addMember(`node${number}`);
    return site;
  }

  async addMember(name: string): Promise<PatroniMember> {
    const [port = 0, restPort = 0] = await freePorts(2);
    const member = new PatroniMember(this, { name, port, restPort, etcdPort: this.#etcdPort });
    this.#guard.watch(member.dataDirectory);
    this.members.push(member);
    return member;
  }

  /** Names all members; leads to the primary. */
  connection(): string {
    const hosts = this.members.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return `postgresql://postgres@${hosts}/postgres?target_session_attrs=read-write`;
  }

  /** Once there is one; another than `except`. */
  async leader(except?: PatroniMember): Promise<PatroniMember> {
    let found: PatroniMember | undefined;
    await eventually(
      () => `there is a leader\n${this.logs()}`,
      async () => {
        for (const member of this.members) {
          if (member !== except && (await member.takesWrites())) found = member;
        }
        return found !== undefined;
      },
      { timeoutMs: 60_000, pauseMs: 100 },
    );
    if (!found) throw new Error('no leader');
    return found;
  }

  /** On loopback. */
  async freePort(): Promise<number> {
    const [port = 0] = await freePorts(1);
    return port;
  }

  /** A server that no member runs. */
  async stopServer(dataDirectory: string): Promise<void> {
    const pid = readPostmasterPid(dataDirectory)?.pid;
    if (pid === undefined) return;
    process.kill(pid, 'SIGINT');
    await eventually('the server ends', () => !existsSync(`/proc/${pid}`), { timeoutMs: 20_000 });
  }

  logs(): string {
    return this.members.map(({ name, log }) => `--- ${name}\n${log().slice(-6000)}`).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(async (member) => member.stop()));
    for (const member of this.members) member.endProcesses();
    await ended(this.#etcd, 'SIGTERM');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class PatroniMember {
  readonly name: string;
  readonly port: number;
  readonly directory: string;
  readonly dataDirectory: string;
  readonly configFile: string;
  readonly #restPort: number;
  readonly #etcdPort: number;
  readonly #site: PatroniSite;
  readonly #stopped: number[] = [];
  #patroni: ChildProcess | undefined;

  constructor(
    site: PatroniSite,
    { name, port, restPort, etcdPort }: { name: string; port: number; restPort: number; etcdPort: number },
  ) {
    this.#site = site;
    this.name = name;
    this.port = port;
    this.#restPort = restPort;
    this.#etcdPort = etcdPort;
    this.directory = join(site.directory, name);
    this.dataDirectory = join(this.directory, 'data');
    this.configFile = join(this.directory, 'pgrecall.toml');
  }

  /** Writes the configuration of pgrecall, has it make its scripts, and writes that of Patroni. */
  prepare(connection: string, options: { readonly bootstrap?: readonly string[]; readonly scope?: string } = {}): void {
    makeOwned(this.directory);
    writeOwned(
      this.configFile,
      `repository = "${this.#site.repository}"\nstate_directory = "${join(this.directory, 'state')}"\n\n[clusters.main]\nconnection = "${connection}"\ndata_directory = "${this.dataDirectory}"\n`,
    );
    const made = this.run(['patroni', 'setup', 'main']);
    if (made.status !== 0) throw new Error(made.stderr);
    const commands = this.run(['patroni', 'setup', 'main', '--json']).json() as Record<string, string>;
    writeOwned(join(this.directory, 'patroni.yml'), this.#patroniYml(commands, options));
  }

  #patroniYml(
    commands: Record<string, string>,
    { bootstrap, scope = 'main' }: { readonly bootstrap?: readonly string[]; readonly scope?: string },
  ): string {
    const quote = (text: string | undefined): string => `'${(text ?? '').replaceAll("'", "''")}'`;
    const method = bootstrap
      ? `  method: pgrecall\n  pgrecall:\n    command: ${quote([commands['bootstrap'], ...bootstrap].join(' '))}\n    keep_existing_recovery_conf: true\n`
      : '  initdb: [data-checksums, encoding: UTF8, auth: trust]\n';
    return `scope: ${scope}
name: ${this.name}
log: {level: INFO}
restapi: {listen: '127.0.0.1:${this.#restPort}', connect_address: '127.0.0.1:${this.#restPort}'}
etcd3: {hosts: '127.0.0.1:${this.#etcdPort}'}
bootstrap:
  dcs:
    ttl: 5
    loop_wait: 1
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    # The receiver's.
    ignore_slots: [{name: pgrecall_main, type: physical}]
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {max_connections: 30, shared_buffers: 16MB, max_wal_senders: 10, wal_keep_size: 64MB, fsync: 'off', wal_log_hints: 'on'}
${method}postgresql:
  listen: 127.0.0.1:${this.port}
  connect_address: 127.0.0.1:${this.port}
  data_dir: ${this.dataDirectory}
  bin_dir: ${postgresPrograms}
  pgpass: ${join(this.directory, 'pgpass')}
  authentication:
    superuser: {username: postgres, password: secret}
    replication: {username: replicator, password: secret}
    rewind: {username: rewinder, password: secret}
  pg_hba:
    - local all all trust
    - host all all 127.0.0.1/32 trust
    - host replication all 127.0.0.1/32 trust
  parameters:
    unix_socket_directories: ${this.directory}
    archive_mode: 'on'
    archive_command: ${quote(commands['archiveCommand'])}
    archive_timeout: 60
    log_line_prefix: '%m [%p] '
  recovery_conf:
    restore_command: ${quote(commands['restoreCommand'])}
  # Nothing else is left where this fails.
  create_replica_methods: [pgrecall]
  pgrecall:
    command: ${quote(commands['replica'])}
    no_leader: true
`;
  }

  start(): void {
    this.#patroni = startIn(this.directory, 'patroni', '/usr/bin/patroni', [join(this.directory, 'patroni.yml')]);
  }

  /** It archives nothing more, as if the repository were out of reach: neither the server nor what works ahead of it. */
  async stopArchiving(): Promise<void> {
    await using session = await this.session();
    const [row] = await session.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'",
    );
    if (!row) throw new Error(`${this.name} does not archive`);
    for (const pid of [row.pid, ...this.#processes()]) {
      process.kill(pid, 'SIGSTOP');
      this.#stopped.push(pid);
    }
  }

  /** What the scripts of the member have started, and still works. */
  endProcesses(): void {
    for (const pid of this.#processes()) kill(pid);
  }

  /** Of pgrecall, in the background, for this member. */
  #processes(): number[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.map(Number).filter((pid) => {
      const words = commandLineOf(pid);
      return words.includes('wal') && words.includes(this.configFile);
    });
  }

  /** As when the host loses its power: Patroni and the server are gone at once. */
  async kill(): Promise<void> {
    const pid = readPostmasterPid(this.dataDirectory)?.pid;
    await ended(this.#patroni, 'SIGKILL');
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    // Stopped, it does not notice that it is alone.
    for (const stopped of this.#stopped.splice(0)) kill(stopped);
    await eventually('the server is gone', () => pid === undefined || !existsSync(`/proc/${pid}`));
    this.#patroni = undefined;
  }

  /** This member, which is the primary, gives way to another in good order. */
  async giveWayTo(next: PatroniMember): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${this.#restPort}/switchover`, {
      method: 'POST',
      body: JSON.stringify({ leader: this.name, candidate: next.name }),
      signal: AbortSignal.timeout(60_000),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** Patroni stops its server with it. */
  async stop(): Promise<void> {
    await ended(this.#patroni, 'SIGTERM');
    this.#patroni = undefined;
  }

  /** As Patroni's own health checks tell. */
  async is(role: 'primary' | 'replica'): Promise<boolean> {
    return answers(`http://127.0.0.1:${this.#restPort}/${role}`);
  }

  /** A moment after Patroni calls it the primary. */
  async takesWrites(): Promise<boolean> {
    if (!(await this.is('primary'))) return false;
    await using session = await this.session();
    return !session.role.inRecovery;
  }

  async session(): Promise<SqlSession> {
    return SqlSession.connect(`postgresql://postgres@127.0.0.1:${this.port}/postgres`);
  }

  /** Of Patroni, and of the server and the methods that it starts. */
  readonly log = (): string => {
    const path = join(this.directory, 'patroni.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };

  run(words: readonly string[], options: { readonly timeoutMs?: number } = {}): CommandResult {
    const { status, stdout, stderr } = spawnSync(launcher, [...words, '--config', this.configFile], {
      ...world(this.directory),
      encoding: 'utf8',
      input: '',
      timeout: options.timeoutMs ?? 60_000,
    });
    return { status, stdout, stderr, json: () => JSON.parse(stdout) as unknown };
  }
}

function world(directory: string): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
  const { PATH = '' } = process.env;
  return { cwd: directory, env: { PATH, HOME: directory, LANG: 'C.UTF-8' }, ...serverOwner() };
}

function startIn(directory: string, name: string, program: string, words: readonly string[]): ChildProcess {
  const log = openSync(join(directory, `${name}.log`), 'a');
  try {
    return spawn(program, words, { ...world(directory), stdio: ['ignore', log, log] });
  } finally {
    closeSync(log);
  }
}

function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child) return;
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  if (!isOver()) child.kill(signal);
  try {
    await eventually('it ends', isOver, { timeoutMs: 20_000 });
  } catch {
    child.kill('SIGKILL');
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      async () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer();
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  });
  for (const server of servers) server.close();
  return ports;
}

function makeOwned(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  giveToServer(directory);
}

function writeOwned(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  giveToServer(path);
}
