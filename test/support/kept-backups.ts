import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseRelationPath, unloggedToLeaveOut } from '../../src/postgres/relation-file.ts';
import { checkWith } from './backup-rig.ts';
import { TestCluster } from './cluster.ts';
import type { HistorySite, ListedBackup } from './history-site.ts';
import { readClusterPages, samePages, type ClusterPages } from './page-digests.ts';
import type { Random } from './random.ts';
import { replayedPages } from './replayed-truth.ts';

/** A cluster that is stopped, as its files are. */
interface Rest {
  /** Not crashed. */
  readonly shutDown: boolean;
  readonly pages: ClusterPages;
  /** Digests of what has no pages that may differ in hints, by path. */
  readonly files: ReadonlyMap<string, string>;
}

interface Truth {
  readonly backup: ListedBackup;
  /** After recovery; `undefined`: of a server that had crashed. */
  readonly pages: ClusterPages | undefined;
  /** Of a cold backup: before it. */
  readonly rest: Rest | undefined;
}

/** What backups there have to be, and the truth about each. */
export class KeptBackups {
  readonly #site: HistorySite;
  readonly #say: (line: string) => void;
  readonly #truths = new Map<string, Truth>();
  readonly #cold = new Map<string, Rest>();
  readonly #mayGo = new Set<string>();
  readonly #expected = new Set<string>();

  constructor(site: HistorySite, say: (line: string) => void) {
    this.#site = site;
    this.#say = say;
  }

  /** One of those that are there. */
  pick(random: Random): ListedBackup | undefined {
    return this.#truths.size === 0 ? undefined : random.pick([...this.#truths.values()]).backup;
  }

  /** A backup that was reported to be complete. */
  took({ id }: { readonly id: string }): void {
    this.#expected.add(id);
  }

  tookCold(id: string, rest: Rest): void {
    this.#cold.set(id, rest);
    this.took({ id });
  }

  /** These may be gone, whatever comes. */
  mayGo(ids: readonly string[]): void {
    for (const id of ids) this.#mayGo.add(id);
  }

  hasGone(ids: readonly string[]): void {
    for (const id of ids) {
      this.#truths.delete(id);
      this.#expected.delete(id);
    }
  }

  /** Compares with what is listed; finds the truth about what is new, which may be a backup that was killed too late. */
  async settle(): Promise<void> {
    const listed = this.#site.backups();
    const ids = new Set(listed.map(({ id }) => id));
    for (const id of [...this.#expected, ...this.#truths.keys()]) {
      if (ids.has(id)) continue;
      assert.ok(this.#mayGo.has(id), `${id} is gone`);
      this.hasGone([id]);
    }
    this.#mayGo.clear();
    for (const backup of listed) {
      this.#expected.add(backup.id);
      if (!this.#truths.has(backup.id)) this.#truths.set(backup.id, await this.#truthOf(backup));
    }
    assert.deepEqual([...this.#truths.keys()].toSorted(), [...ids].toSorted(), 'what is listed');
  }

  async #truthOf(backup: ListedBackup): Promise<Truth> {
    const rest = this.#cold.get(backup.id);
    if (rest) return { backup, pages: rest.shutDown ? rest.pages : undefined, rest };
    assert.equal(backup.temperature, 'hot', `nothing is known of ${backup.id}`);
    const { evidence, fallback } = this.#site.done<{ evidence: string; fallback?: string }>('show', 'main', backup.id);
    this.#say(`   ${backup.id} to ${backup.endLsn} on ${backup.timeline}: ${evidence} ${fallback ?? ''}`);
    await this.#site.archived(this.#site.cluster);
    const pages = await this.#site.truth.pagesAt(backup.endLsn, backup.timeline);
    return { backup, pages, rest: undefined };
  }

  async checkSome(random: Random): Promise<void> {
    const backup = this.pick(random);
    if (backup) await this.#check(backup.id, random.chance(0.5));
  }

  /** Restores everything, every other one over the one before it, and verifies the repository. */
  async checkAll(): Promise<void> {
    for (const [at, id] of [...this.#truths.keys()].entries()) {
      await this.#check(id, at % 2 === 1);
      await this.#checkRelations();
    }
    this.verify();
  }

  async #check(id: string, over: boolean): Promise<void> {
    const truth = this.#truths.get(id);
    assert.ok(truth);
    const { major } = this.#site.cluster;
    const directory = join(this.#site.directory, 'restored');
    const far = join(this.#site.directory, 'restored-far');
    if (!over) for (const name of ['restored', 'restored-far']) this.#site.place(name);
    const target = [
      '--target-immediate',
      '--target-action',
      'promote',
      '--target-timeline',
      String(truth.backup.timeline),
    ];
    const places = ['--to', directory, '--tablespace', `far=${far}`];
    this.#site.done('restore', 'main', '--backup', id, ...places, ...target, '--delta', '--discard-wal', '--jobs', '1');
    removePutAside(directory);
    checkWith(major, 'pg_verifybackup', ['--no-parse-wal', directory]);
    if (truth.rest) sameRest(readRest(directory, truth.rest.shutDown), truth.rest, id);
    const pages = await replayedPages(directory, major);
    if (truth.pages) samePages(pages, truth.pages, id);
  }

  /** What indexes and tables say of each other. Whoever reads a page may change it: compared it was before. */
  async #checkRelations(): Promise<void> {
    const { major } = this.#site.cluster;
    if (major !== 15) return;
    await using server = await TestCluster.over(join(this.#site.directory, 'restored'), major, { archive_mode: 'off' });
    const where = [`--host=${server.socketDirectory}`, `--port=${server.port}`, '--username=postgres'];
    checkWith(major, 'pg_amcheck', [...where, '--heapallindexed', '--all']);
    await checkVisibilityMaps(server);
    await server.stop();
  }

  /** Everything, or what these options say: nothing is damaged. WAL may have been lost. */
  verify(...options: readonly string[]): void {
    const result = this.#site.run(['verify', 'main', ...options, '--jobs', '1', '--json']);
    const said = `${result.stdout}${result.stderr}`;
    assert.ok(result.status === 0 || result.status === 3, said);
    const { backups, wal, gaps } = result.json() as Verification;
    const damage = [...backups, ...wal].flatMap((one) => one.damage);
    assert.ok(damage.length === 0 && backups.every(({ ok }) => ok), said);
    assert.ok(result.status === 0 || gaps.length > 0, said);
  }

  /** After a sweep there is nothing in the repository that no backup refers to, and all that they refer to. */
  checkNothingIsLeft(): void {
    this.#site.done('expire', 'main');
    const ids = [...this.#truths.keys()];
    const packs = new Set(ids.flatMap((id) => this.#site.done<{ packs: string[] }>('show', 'main', id).packs));
    const names = (folder: string): string[] => {
      const path = this.#site.object(folder);
      return existsSync(path) ? readdirSync(path).toSorted() : [];
    };
    assert.deepEqual(names('packs'), [...packs].toSorted());
    const left = readdirSync(this.#site.object('backups'), { recursive: true, encoding: 'utf8' });
    assert.deepEqual(names('backups'), ids.toSorted(), left.join(' '));
    assert.deepEqual(names('claims'), []);
  }
}

/** The configuration that lay in a directory before a restore in place. */
export function removePutAside(directory: string): void {
  for (const name of readdirSync(directory)) if (name.endsWith('.before-delta')) rmSync(join(directory, name));
}

/** No row that a map calls visible to all, or frozen, is not. */
async function checkVisibilityMaps(server: TestCluster): Promise<void> {
  await using session = await server.session();
  for (const { datname } of await session.query<{ datname: string }>(
    'SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2',
  )) {
    await using inside = await server.session(datname);
    const rows = await inside.query<{ relation: string; places: string }>(
      `SELECT relation, places FROM (
         SELECT oid::regclass::text AS relation,
                (SELECT string_agg(t_ctid::text, ' ') FROM pg_check_visible(oid)) AS places
         FROM pg_class WHERE relkind IN ('r', 'm', 't') AND relpersistence = 'p' AND relfilenode IS NOT NULL
       ) AS checked WHERE places IS NOT NULL`,
    );
    assert.deepEqual(rows, [], `visibility maps in ${datname}`);
  }
}

interface Verification {
  readonly backups: readonly { readonly ok: boolean; readonly damage: readonly unknown[] }[];
  readonly wal: readonly { readonly damage: readonly unknown[] }[];
  readonly gaps: readonly unknown[];
}

/** What a backup leaves out: caches, temporary files and relations, pg_control, which is written last. */
const leftOut = /^(pg_control|pg_internal\.init|pgsql_tmp.*|t\d+_\d+.*)$/;
const places = ['base', 'global', 'pg_tblspc', 'pg_xact', 'pg_multixact', 'pg_twophase', 'pg_commit_ts'];

/** What a cold backup of a directory has to have. */
export function readRest(directory: string, shutDown: boolean): Rest {
  const files = new Map<string, string>();
  for (const place of places) addFiles(directory, place, shutDown, files);
  return { shutDown, pages: readClusterPages(directory), files };
}

/** Of a server that had crashed, unlogged relations are not worth anything. */
function addFiles(directory: string, path: string, shutDown: boolean, files: Map<string, string>): void {
  if (!existsSync(join(directory, path))) return;
  const names = readdirSync(join(directory, path)).filter((name) => !leftOut.test(name));
  const unlogged = unloggedToLeaveOut(names);
  for (const name of names) {
    const below = `${path}/${name}`;
    if (statSync(join(directory, below)).isDirectory()) {
      addFiles(directory, below, shutDown, files);
      continue;
    }
    const relation = parseRelationPath(below);
    if (relation && (unlogged.has(name) ? !shutDown : relation.fork !== 'fsm')) continue;
    files.set(below, hash('sha1', readFileSync(join(directory, below))));
  }
}

function sameRest(found: Rest, expected: Rest, what: string): void {
  assert.deepEqual([...found.files.keys()].toSorted(), [...expected.files.keys()].toSorted(), `${what}: the files`);
  const different = [...expected.files].filter(([path, digest]) => found.files.get(path) !== digest);
  assert.deepEqual(
    different.map(([path]) => path),
    [],
    `${what}: files that are not what they were`,
  );
  samePages(found.pages, expected.pages, `${what} before recovery`);
}
