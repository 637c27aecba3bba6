import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestCluster } from '../support/cluster.ts';
import { CommandSite } from '../support/command-site.ts';

/* pgrecall load --plan: what a load would come upon, without loading. Whatever it says would fail, fails. */

interface Plan {
  readonly target: { readonly exists: boolean; readonly created: boolean; readonly empty: boolean };
  readonly objects: Readonly<Record<string, number>> | null;
  readonly lacking: Readonly<Record<string, readonly string[]>> | null;
  readonly alreadyThere: readonly { readonly kind: string; readonly tag: string }[];
  readonly findings: readonly { readonly weight: string; readonly what: string; readonly remedy: string }[];
}

describe('the plan of a load', () => {
  let server: TestCluster;
  let site: CommandSite;
  before(async () => {
    server = await TestCluster.create({ major: 15 });
    site = new CommandSite();
    const done = site.run(['init', 'main', '--connection', server.uri(), '--repository', site.repository]);
    assert.equal(done.status, 0, done.stderr);
    {
      await using session = await server.session();
      await session.query('CREATE DATABASE shop');
      await session.query('CREATE DATABASE taken');
      await session.query('CREATE DATABASE latin TEMPLATE template0 ENCODING LATIN1 LOCALE "C"');
      await session.query('CREATE ROLE "owner of ""it"""; CREATE ROLE reader; CREATE ROLE loader LOGIN CREATEDB');
      await session.query('ALTER DATABASE latin OWNER TO loader');
    }
    {
      await using session = await server.session('shop');
      await session.query(`CREATE EXTENSION pg_trgm; CREATE TABLE film (id serial PRIMARY KEY, title text);
        INSERT INTO film (title) VALUES ('영화'); CREATE INDEX film_title ON film (title);
        CREATE POLICY p ON film TO reader USING (EXISTS (SELECT FROM pg_class WHERE relname = 'x'));
        ALTER TABLE film OWNER TO "owner of ""it"""; GRANT SELECT ON film TO reader`);
    }
    {
      await using session = await server.session('taken');
      await session.query('CREATE TABLE film (id int)');
    }
    for (const format of ['plain', 'custom']) {
      const dumped = site.run(['dump', 'main', '--database', 'shop', '--format', format, '--note', format]);
      assert.equal(dumped.status, 0, dumped.stderr);
    }
  });
  after(async () => {
    site[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  const words = (database: string, ...more: readonly string[]): string[] => [
    ...['load', 'main', 'latest', '--source', 'shop', '--database', database, ...more],
  ];
  const plan = (database: string, ...more: readonly string[]): Plan => {
    const planned = site.run(words(database, '--plan', '--json', ...more));
    assert.equal(planned.status, 0, planned.stderr);
    return planned.json() as Plan;
  };
  const weights = ({ findings }: Plan): string[] =>
    findings.map(({ weight, what }) => `${weight} ${what.replace(/[,:].*/, '')}`);

  it('counts the objects, and finds nothing in the way of a new database; which is not made', async () => {
    const planned = plan('copy', '--create');
    assert.deepEqual(planned.target.exists, false);
    assert.deepEqual(planned.target.created, true);
    assert.equal(planned.objects?.['TABLE'], 1);
    assert.equal(planned.objects?.['INDEX'], 1);
    assert.equal(planned.objects?.['EXTENSION'], 1);
    assert.deepEqual(planned.findings, []);
    const text = site.run(words('copy', '--create', '--plan'));
    assert.match(text.stdout, /nothing is in the way; nothing was touched/);
    await using session = await server.session();
    assert.deepEqual(await session.query("SELECT FROM pg_database WHERE datname = 'copy'"), []);
  });

  it('names roles that are missing, as owners and as those with privileges, unless they are left out', async () => {
    await using session = await server.session();
    await session.query('ALTER ROLE "owner of ""it""" RENAME TO gone; ALTER ROLE reader RENAME TO gone2');
    try {
      const planned = plan('copy', '--create');
      assert.deepEqual(planned.lacking?.['owners'], ['owner of "it"']);
      assert.deepEqual(planned.lacking?.['grantees'], ['reader']);
      assert.deepEqual(weights(planned), [
        'fails owners that are not there',
        'fails roles with privileges that are not there',
      ]);
      assert.deepEqual(weights(plan('copy', '--create', '--no-owner', '--no-privileges')), []);
      const loaded = site.run(words('copy', '--create'));
      assert.equal(loaded.status, 1);
      assert.match(loaded.stderr, /role "owner of ""it"""? does not exist|role "owner of "it"" does not exist/);
      const only = plan('copy3', '--create', '--only', 'film_id_seq');
      assert.deepEqual(weights(only), ['fails owners that are not there']);
    } finally {
      await session.query('ALTER ROLE gone RENAME TO "owner of ""it"""; ALTER ROLE gone2 RENAME TO reader');
    }
  });

  it('tells of a database that is not there, not empty, or has another encoding', () => {
    assert.deepEqual(weights(plan('absent')), ['refused there is no database "absent"']);
    const taken = plan('taken');
    assert.deepEqual(weights(taken), [
      'refused the database "taken" is not empty',
      'fails objects that are there already (1)',
    ]);
    assert.deepEqual(taken.alreadyThere, [{ kind: 'TABLE', schema: 'public', tag: 'film' }]);
    assert.deepEqual(weights(plan('latin')), ['fails the database is LATIN1']);
    const loaded = site.run(words('latin', '--json'));
    const { error } = loaded.json() as { error: { code: string; message: string; hint: string } };
    assert.equal(error.code, 'load-failed');
    assert.match(error.message, /"latin" is incomplete; .*no equivalent in encoding "LATIN1"/);
    assert.match(error.hint, /encodings do not match/);
  });

  it('tells whom the connected role cannot give anything to', () => {
    const planned = plan('copy2', '--create', '--to', `${server.uri('postgres')}&user=loader`);
    assert.deepEqual(planned.lacking?.['notMemberOf'], ['owner of "it"']);
  });

  it('of a plain dump knows what is not in its table of contents', () => {
    const plain = plainDump(site);
    const planned = site.run(['load', 'main', plain, '--database', 'latin', '--plan', '--force', '--json']);
    assert.equal(planned.status, 0, planned.stderr);
    const told = planned.json() as Plan;
    assert.equal(told.objects, null);
    assert.equal(told.lacking, null);
    assert.deepEqual(weights(told), ['fails the database is LATIN1']);
  });
});

function plainDump(site: CommandSite): string {
  const { backups } = site.run(['list', 'main', '--json']).json() as { backups: { id: string; note: string }[] };
  return backups.find(({ note }) => note === 'plain')?.id ?? '';
}
