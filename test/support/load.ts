import { SqlSession } from '../../src/connection/sql-session.ts';
import type { TestCluster } from './cluster.ts';

/**
 * Changes that go on while a backup is taken: rows committed and rolled back, relations that grow, shrink, are
 * rewritten, come and go.
 */
export class Load {
  readonly #sessions: readonly SqlSession[];
  readonly #running: Promise<unknown>;
  #stopped = false;

  private constructor(sessions: readonly SqlSession[]) {
    this.#sessions = sessions;
    this.#running = Promise.all(sessions.map(async (session, i) => this.#run(session, i)));
  }

  static async start(cluster: TestCluster): Promise<Load> {
    const sessions = await Promise.all([cluster.session(), cluster.session()]);
    await sessions[0]?.query('CREATE TABLE busy (id bigserial PRIMARY KEY, filler text)');
    return new Load(sessions);
  }

  async #run(session: SqlSession, number: number): Promise<void> {
    for (let round = 0; !this.#stopped; round += 1) {
      await session.query('INSERT INTO busy (filler) SELECT repeat(md5(i::text), 20) FROM generate_series(1, 50) i');
      await session.query('BEGIN');
      await session.query('DELETE FROM busy WHERE id % 5 = 0');
      await session.query(round % 2 === 0 ? 'ROLLBACK' : 'COMMIT');
      const name = `passing_${number}_${round % 3}`;
      await session.query(`DROP TABLE IF EXISTS ${name}`);
      await session.query(`CREATE TABLE ${name} AS SELECT i, md5(i::text) FROM generate_series(1, 300) i`);
      if (round % 4 === 0) await session.query(`TRUNCATE ${name}`);
      if (round % 4 === 1) await session.query(`DELETE FROM ${name} WHERE i > 20`);
      if (round % 4 === 1) await session.query(`VACUUM ${name}`);
      if (round % 4 === 2) await session.query(`CREATE INDEX ON ${name} (i)`);
      if (round % 4 === 3) await session.query(`VACUUM FULL ${name}`);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const session of this.#sessions) await session.close();
  }
}
