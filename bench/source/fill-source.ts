import { createWriteStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { documentRows, documentsTable } from './documents.ts';
import type { SourceCluster } from './source-cluster.ts';

export interface SourceSize {
  /** pgbench's: 15 MB each. */
  readonly scale: number;
  /** Rows of the table of documents, of a kilobyte or two. */
  readonly documents: number;
  /** Small tables of some rows: most files of a real cluster are small. */
  readonly tables: number;
}

/** Fills an empty cluster; it is stopped before and after. */
export async function fillSource(cluster: SourceCluster, size: SourceSize): Promise<void> {
  await cluster.start(['-c', 'fsync=off']);
  cluster.client('pgbench', ['--initialize', '--init-steps=dtGvp', '--quiet', `--scale=${size.scale}`]);
  await cluster.sql(documentsTable);
  await insertDocuments(cluster, 1, size.documents);
  await cluster.sql('CREATE INDEX ON documents (created)', smallTables(size.tables), 'VACUUM (FREEZE, ANALYZE)');
  await cluster.stop();
}

export async function insertDocuments(cluster: SourceCluster, first: number, count: number): Promise<void> {
  const file = join(cluster.socketDirectory, 'documents.txt');
  await pipeline(Readable.from(documentRows(first, count)), createWriteStream(file));
  await cluster.sql(`COPY documents FROM '${file}'`);
  rmSync(file);
}

function smallTables(count: number): string {
  return `DO $$ BEGIN
    FOR i IN 1..${count} LOOP
      EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY, k text, v jsonb)', i);
      EXECUTE format('INSERT INTO small_%s SELECT n, md5(n::text || %L), jsonb_build_object(''n'', n, ''t'', ''row '' || n)
        FROM generate_series(1, 20 + %s) n', i, i, (i * 7) % 400);
    END LOOP;
  END $$`;
}
