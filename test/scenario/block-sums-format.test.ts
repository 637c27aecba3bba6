import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { it } from 'node:test';
import { pageBytes } from '../../src/postgres/page.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { MadeUpCluster, madeUpPages } from '../support/made-up-cluster.ts';
import { MadeUpIncrements } from '../support/made-up-increments.ts';
import { SecondReader } from '../support/second-reader.ts';
import { backupRecord, testRepository } from '../support/test-repository.ts';

/*
 * The second reader checks the sums of every block that it extracts, as docs/repository-format.md defines them: here of
 * backups that build on each other, whose maps of sums are put together of several backups' blobs.
 */

for (const passphrase of [undefined, 'correct horse battery staple']) {
  it(`the sums of backups that build on each other are those of their content${passphrase === undefined ? '' : ', encrypted'}`, async () => {
    using made = new MadeUpCluster();
    const storage = new MemoryStorage();
    const cluster = (await testRepository({ storage, ...(passphrase === undefined ? {} : { passphrase }) })).cluster(
      'main',
    );
    const increments = new MadeUpIncrements(made, cluster, 40 * pageBytes);
    const pages = madeUpPages(200);
    made.write('base/5/16384', pages);
    made.write('base/5/16385', madeUpPages(3, { seed: 5 }));
    made.write('base/5/16386', '');
    const source = {
      get: (key: string) => storage.objects.get(key),
      keys: (prefix: string) => [...storage.objects.keys()].filter((key) => key.startsWith(prefix)),
    };
    for (let round = 0; round < 3; round += 1) {
      const { id } = await increments.copy({ kind: round === 0 ? 'all' : 'sums' });
      await cluster.writeRecord(id, backupRecord(id));
      const { entries } = new SecondReader(source, passphrase).extract('main', id);
      const found = new Map(entries.flatMap(({ path, content }) => (content ? [[path, content] as const] : [])));
      assert.deepEqual(found, increments.present());
      for (let page = round; page < 200; page += 37)
        madeUpPages(1, { first: page, seed: 100 + round }).copy(pages, page * pageBytes);
      made.write('base/5/16384', pages);
      made.write('postgresql.conf', `port = ${round}\n`);
      truncateSync(made.path('base/5/16385'), 2 * pageBytes + round);
    }
  });
}
