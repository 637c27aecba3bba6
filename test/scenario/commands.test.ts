import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

/* The commands from first to last, as an administrator meets them. */

interface Init {
  readonly configChanged: boolean;
  readonly repositoryMade: boolean;
  readonly encrypted: boolean;
  readonly registered: string;
  readonly incarnation: { readonly number: number; readonly postgresMajor: number; readonly segmentBytes: number };
  readonly settings: readonly { readonly name: string; readonly right: boolean }[];
  readonly applied: readonly string[];
  readonly archiving: boolean;
  readonly restartNeeded: boolean;
  readonly warnings: readonly { readonly message: string }[];
  readonly next: readonly string[];
}

interface List {
  readonly cluster: string;
  readonly backups: readonly Readonly<Record<string, unknown>>[];
  readonly recoverable: readonly Readonly<Record<string, unknown>>[];
  readonly gaps: readonly unknown[];
}

for (const major of [15, 18] as const) {
  describe(`PostgreSQL ${major}, from nothing to a backup that is known to be good`, () => {
    it('is a matter of a few commands, each of which says what comes next', async () => {
      await using server = await TestCluster.create({ major, walSegmentMiB: major === 15 ? 16 : 1 });
      using site = new CommandSite();
      const passphraseFile = site.secret('passphrase', 'correct horse battery staple\n');

      const missing = site.run(['init', 'main', '--json']);
      assert.equal(missing.status, 2);
      assert.deepEqual((missing.json() as { error: { details: object } }).error.details, {
        missing: ['--connection', '--repository'],
      });

      const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository];
      const planned = site.run([...words, '--passphrase-file', passphraseFile, '--plan']);
      assert.equal(planned.status, 0, planned.stderr);
      assert.match(planned.stdout, /would be made, encrypted/);
      assert.equal(statSync(site.configFile, { throwIfNoEntry: false }), undefined, 'a plan touches nothing');
      assert.equal(statSync(site.repository, { throwIfNoEntry: false }), undefined);

      const made = site.run([...words, '--passphrase-file', passphraseFile, '--json']);
      assert.equal(made.status, 0, made.stderr);
      const first = made.json() as Init;
      assert.deepEqual([first.configChanged, first.repositoryMade, first.encrypted], [true, true, true]);
      assert.equal(first.registered, 'registered');
      assert.equal(first.incarnation.postgresMajor, major);
      assert.equal(first.incarnation.segmentBytes, (major === 15 ? 16 : 1) * 1_048_576);
      assert.deepEqual(first.warnings, [], 'the server’s user can do what archive_command needs');
      assert.equal(first.archiving, false);
      assert.match(first.next.join('\n'), /--apply[^]*restart the server/);

      const early = site.run(['check']);
      assert.equal(early.status, 1);
      assert.match(early.stdout, /PROBLEM {2}archive_mode: is 'off'/);

      const applied = site.run(['init', 'main', '--apply', '--json']).json() as Init;
      assert.deepEqual(applied.applied, ['archive_mode', 'archive_command', 'archive_timeout']);
      assert.equal(applied.restartNeeded, true);
      await server.restart();

      const before = [site.configFile, `${site.repository}/repository.json`, site.object('cluster.json')].map(
        (path) => [readFileSync(path, 'utf8'), statSync(path).mtimeMs],
      );
      const again = site.run(['init', 'main', '--apply', '--json']).json() as Init;
      assert.deepEqual([again.configChanged, again.repositoryMade, again.registered], [false, false, 'known']);
      assert.deepEqual([again.applied, again.archiving, again.restartNeeded], [[], true, false]);
      const after = [site.configFile, `${site.repository}/repository.json`, site.object('cluster.json')].map((path) => [
        readFileSync(path, 'utf8'),
        statSync(path).mtimeMs,
      ]);
      assert.deepEqual(after, before, 'what is right is not touched');

      const checked = site.run(['check', '--timeout', '240']);
      assert.equal(checked.status, 0, checked.stdout);
      assert.match(checked.stdout, /archiving: [0-9A-F]{24} was in the repository after/);

      const backup = site.run(['backup', 'main', '--note', 'before the upgrade', '--keep', '--jobs', '2', '--json']);
      assert.equal(backup.status, 0, backup.stderr);
      const { id } = backup.json() as { id: string };

      const listed = site.run(['list', '--json']).json() as List;
      assert.equal(listed.cluster, 'main');
      const [entry] = listed.backups;
      assert.deepEqual(
        [entry?.['id'], entry?.['kind'], entry?.['temperature'], entry?.['type'], entry?.['note'], entry?.['keep']],
        [id, 'physical', 'hot', 'full', 'before the upgrade', true],
      );
      for (const name of ['startedAt', 'stoppedAt']) assert.match(String(entry?.[name]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      for (const name of ['sizeBytes', 'storedBytes']) assert.ok(Number(entry?.[name]) > 1_000_000, name);
      const [span] = listed.recoverable;
      assert.equal(span?.['timeline'], 1);
      assert.equal(span['from'], entry?.['stoppedAt']);
      assert.equal(span['fromLsn'], entry?.['endLsn']);
      assert.deepEqual(listed.gaps, []);
      assert.match(site.run(['list', 'main']).stdout, new RegExp(`^${id}  hot physical full .*\\[kept\\] before`, 'm'));

      const shown = site.run(['show', 'main', id.slice(0, 8)]);
      assert.match(shown.stdout, /page checksums {2}on, all good/);
      assert.match(
        site.run(['show', 'main', 'latest', '--files']).stdout,
        /^ +8192 {2}global\/1262 {2}.*pg_catalog\.pg_database$/m,
      );
      const { files } = site.run(['show', 'main', id, '--files', '--json']).json() as { files: { path: string }[] };
      assert.ok(files.some(({ path }) => path === 'global/1262'));

      for (const more of [[], ['latest']]) {
        const verified = site.run(['verify', 'main', ...more, '--json']);
        assert.equal(verified.status, 0, verified.stdout + verified.stderr);
        const verdict = verified.json() as { ok: boolean; backups: { id: string; files: number }[]; notes: string[] };
        assert.deepEqual([verdict.ok, verdict.backups.map((one) => one.id), verdict.notes], [true, [id], []]);
        assert.ok((verdict.backups[0]?.files ?? 0) > 500);
      }
    });
  });
}
