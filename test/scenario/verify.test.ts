import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

/* Whatever happens to a repository, `verify` finds it, says what it is, and names the backups that it harms. */

interface Problem {
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

interface Verdict {
  readonly ok: boolean;
  readonly backups: readonly { readonly id: string; readonly ok: boolean; readonly damage: readonly Problem[] }[];
  readonly wal: readonly {
    readonly segments: number;
    readonly damage: readonly { readonly name: string; readonly what: string; readonly code: string }[];
    readonly withoutIndex: readonly string[];
  }[];
  readonly gaps: readonly { readonly timeline: number; readonly from: string; readonly to: string }[];
  readonly notes: readonly string[];
}

for (const encrypted of [false, true]) {
  describe(`a repository that is ${encrypted ? '' : 'not '}encrypted, with two backups and WAL`, () => {
    let site: CommandSite;
    let ids: readonly string[];
    let segments: readonly string[];
    before(async () => {
      site = new CommandSite();
      await using server = await TestCluster.create({ major: 15, walSegmentMiB: 1, settings: { archive_mode: 'on' } });
      const words = ['init', 'main', '--connection', server.uri(), '--repository', site.repository, '--apply'];
      const secret = encrypted ? ['--passphrase-file', site.secret('passphrase', 'secret\n')] : [];
      must(site.run([...words, ...secret]));
      const take = (): string => {
        const result = site.run(['backup', 'main', '--json']);
        must(result);
        return (result.json() as { id: string }).id;
      };
      const first = take();
      {
        await using session = await server.session();
        await session.query('CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 30000) n');
      }
      must(site.run(['check', 'main', '--timeout', '240']));
      ids = [first, take()];
      segments = walFiles().map((name) => name.slice(0, 24));
      cpSync(site.repository, `${site.repository}.whole`, { recursive: true, preserveTimestamps: true });
    });
    after(() => site[Symbol.dispose]());

    function must(result: { status: number | null; stdout: string; stderr: string }): void {
      assert.equal(result.status, 0, result.stdout + result.stderr);
    }

    const walFolder = (): string => site.object('wal/1/00000001/00000000');
    const walFiles = (): string[] => readdirSync(walFolder()).filter((name) => /^[0-9A-F]{24}-/.test(name));
    const pathOf = (segment: string): string =>
      join(walFolder(), walFiles().find((name) => name.startsWith(segment)) ?? '');
    const packsOf = (id: string): string[] => {
      const result = site.run(['show', 'main', id, '--json']);
      must(result);
      return (result.json() as { packs: string[] }).packs.map((pack) => site.object(`packs/${pack}`));
    };

    /** Of the second backup, those that the first one does not refer to. */
    const ownPacks = (): string[] => {
      const first = new Set(packsOf(ids[0] ?? ''));
      return packsOf(ids[1] ?? '').filter((pack) => !first.has(pack));
    };

    /** What `verify` says after `harm`; the repository is then as it was. */
    function after_(harm: () => void, words: readonly string[] = []): { status: number | null; verdict: Verdict } {
      try {
        harm();
        const result = site.run(['verify', 'main', ...words, '--jobs', '1', '--json']);
        assert.equal(result.stderr.includes('error['), false, result.stderr);
        return { status: result.status, verdict: result.json() as Verdict };
      } finally {
        for (const name of readdirSync(site.repository)) rmSync(join(site.repository, name), { recursive: true });
        cpSync(`${site.repository}.whole`, site.repository, { recursive: true, preserveTimestamps: true });
        mend();
      }
    }

    /** As root the copies belong to root, and have to be the server's again. */
    function mend(): void {
      const walk = (path: string): void => {
        site.give(path);
        if (statSync(path).isDirectory()) for (const name of readdirSync(path)) walk(join(path, name));
      };
      walk(site.repository);
    }

    function flip(path: string, at: number): void {
      const bytes = readFileSync(path);
      const place = at < 0 ? bytes.length + at : at;
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    }

    function harmed(verdict: Verdict): string[] {
      return verdict.backups.filter(({ ok }) => !ok).map(({ id }) => id);
    }

    function codesOf(verdict: Verdict): string[] {
      return [...new Set(verdict.backups.flatMap(({ damage }) => damage.map(({ code }) => code)))];
    }

    it('is good as it is', () => {
      const { status, verdict } = after_(() => undefined);
      assert.equal(status, 0, JSON.stringify(verdict));
      assert.deepEqual(
        verdict.backups.map(({ id }) => id),
        ids,
      );
      assert.equal(verdict.wal[0]?.segments, segments.length);
      assert.deepEqual([verdict.gaps, verdict.notes], [[], []]);
    });

    it('has no bit of a pack that could change unnoticed: header, blobs, lists or end', () => {
      const [pack = ''] = packsOf(ids[0] ?? '');
      const size = statSync(pack).size;
      for (const at of encrypted ? [0, size / 2, -1] : [0, 20, size / 2, -200, -1]) {
        const { status, verdict } = after_(() => flip(pack, Math.floor(at)), [ids[0] ?? '']);
        assert.equal(status, 3, `byte ${at} of ${size}`);
        assert.deepEqual(harmed(verdict), [ids[0]], `byte ${at} of ${size}`);
      }
    });

    it('has packs that cannot take each other’s place', () => {
      const [first = ''] = packsOf(ids[0] ?? '');
      const [second = ''] = ownPacks();
      const exchange = (): void => {
        renameSync(first, `${first}.x`);
        renameSync(second, first);
        renameSync(`${first}.x`, second);
      };
      const { status, verdict } = after_(exchange);
      assert.equal(status, 3);
      assert.deepEqual(harmed(verdict), ids);
      assert.deepEqual(codesOf(verdict), ['object-swapped']);
    });

    // Without a key the same holds by other means; what follows does not depend on it.
    if (encrypted) return;

    it('names the file that a damaged blob belongs to, and the backup, and no other', () => {
      const [pack = ''] = ownPacks();
      const { status, verdict } = after_(() => flip(pack, 5000));
      assert.equal(status, 3);
      assert.deepEqual(harmed(verdict), [ids[1]]);
      const [problem] = verdict.backups.flatMap(({ damage }) => damage);
      assert.match(problem?.path ?? '', /^(base|global|pg_)/);
      assert.equal(problem?.code, 'blob-damaged');
    });

    it('has packs that are missed when they are gone or truncated', () => {
      const [first = ''] = packsOf(ids[0] ?? '');
      for (const [harm, code] of [
        [() => rmSync(first), 'object-missing'],
        [() => truncateSync(first, statSync(first).size - 1), 'object-damaged'],
        [() => truncateSync(first, 0), 'object-damaged'],
      ] as const) {
        const { status, verdict } = after_(harm);
        assert.equal(status, 3);
        assert.deepEqual(harmed(verdict), ids, 'the second one refers to what it has in common with the first');
        assert.ok(codesOf(verdict).includes(code), `${codesOf(verdict).join(', ')} where ${code} is expected`);
      }
    });

    it('notices a manifest or a record that was changed', () => {
      const manifest = site.object(`backups/${ids[0]}/manifest`);
      for (const at of [60, -5]) {
        const { status, verdict } = after_(() => flip(manifest, at));
        assert.equal(status, 3, `byte ${at}`);
        assert.deepEqual(harmed(verdict), [ids[0]]);
      }
      const gone = after_(() => rmSync(manifest));
      assert.equal(gone.status, 3);
      assert.deepEqual(codesOf(gone.verdict), ['object-missing']);
      const record = site.object(`backups/${ids[0]}/record.json`);
      const { status, verdict } = after_(() => flip(record, 200));
      assert.equal(status, 3);
      assert.deepEqual(harmed(verdict), [ids[0]]);
    });

    it('has WAL whose every segment is read, and whose index says the same', () => {
      const last = segments.at(-1) ?? '';
      const content = after_(() => flip(pathOf(last), -30));
      assert.equal(content.status, 3);
      assert.deepEqual(
        content.verdict.wal[0]?.damage.map(({ name, what }) => [name, what]),
        [[last, 'content']],
      );
      const index = after_(() => flip(site.object(`wal-index/1/00000001/00000000/${last}`), -30));
      assert.equal(index.status, 3);
      assert.deepEqual(
        index.verdict.wal[0]?.damage.map(({ name, what }) => [name, what]),
        [[last, 'index']],
      );
      assert.deepEqual(harmed(index.verdict), [], 'an index can be made again');
      const both = after_(() => {
        flip(site.object(`wal-index/1/00000001/00000000/${last}`), 40);
        flip(pathOf(last), -30);
        const list = site.run(['list', 'main', '--json']);
        assert.equal((list.json() as { backups: unknown[] }).backups.length, 2, 'it hides no backup');
      });
      assert.equal(both.status, 3);
      assert.ok(both.verdict.wal[0]?.damage.some(({ name, what }) => name === last && what === 'content'));
      const without = after_(() => rmSync(site.object(`wal-index/1/00000001/00000000/${last}`)));
      assert.equal(without.status, 0);
      assert.deepEqual(without.verdict.wal[0]?.withoutIndex, [last]);
    });

    it('shows a gap where a segment between two backups is gone', () => {
      const middle = segments[Math.floor(segments.length / 2)] ?? '';
      const { status, verdict } = after_(() => rmSync(pathOf(middle)));
      assert.equal(status, 3);
      assert.equal(verdict.gaps.length, 1);
      assert.deepEqual(harmed(verdict), [], 'both backups have the WAL that they need themselves');
    });

    it('names the backup that needs a segment which is gone', () => {
      const shown = site.run(['show', 'main', ids[1] ?? '', '--json']);
      const { startSegment } = shown.json() as { startSegment: string };
      const { status, verdict } = after_(() => rmSync(pathOf(startSegment)));
      assert.equal(status, 3);
      assert.deepEqual(harmed(verdict), [ids[1]]);
      assert.deepEqual(codesOf(verdict), ['wal-gap']);
    });

    it('may hold what no backup refers to, which is noted and harms nothing', () => {
      const stranger = site.object(`packs/${'0'.repeat(32)}`);
      const { status, verdict } = after_(() => cpSync(packsOf(ids[0] ?? '')[0] ?? '', stranger));
      assert.equal(status, 0, JSON.stringify(verdict));
      assert.match(verdict.notes.join(), /1 pack\(s\) belong to no backup/);
    });
  });
}
