import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SqlSession } from '../../src/connection/sql-session.ts';
import { createDvdRental } from '../../src/demo/dvdrental/dvdrental.ts';
import { generateDvdRental, rowCounts } from '../../src/demo/dvdrental/generate.ts';
import { TestCluster } from '../support/cluster.ts';

for (const major of [14, 18] as const) {
  test(`PostgreSQL ${major} holds the DVD rental database to its own keys`, async () => {
    await using cluster = await TestCluster.create({ major });
    {
      await using session = await cluster.session();
      await session.query('CREATE DATABASE dvdrental');
    }
    await using session = await cluster.session('dvdrental');
    await createDvdRental(session);

    for (const [table, count] of Object.entries(rowCounts)) {
      assert.equal(await single(session, `SELECT count(*)::int FROM ${table}`), count, table);
    }
    const keys = `SELECT count(*)::int FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated AND`;
    assert.equal(await single(session, `${keys} contype = 'f'`), 21);
    assert.equal(await single(session, `${keys} contype = 'p'`), 15);
    await assert.rejects(
      session.query('DELETE FROM customer WHERE customer_id = 1'),
      /violates .*foreign key constraint/,
    );

    const { actor, film } = generateDvdRental();
    const names = await session.query('SELECT first_name, last_name FROM actor ORDER BY actor_id');
    assert.deepEqual(
      names,
      actor.map(({ first_name, last_name }) => ({ first_name, last_name })),
    );
    const features = await session.query('SELECT special_features FROM film ORDER BY film_id LIMIT 20');
    assert.deepEqual(
      features,
      film.slice(0, 20).map(({ special_features }) => ({ special_features })),
    );
    assert.equal(await single(session, `SELECT count(*)::int FROM film WHERE fulltext @@ to_tsquery('must')`), 1000);
  });
}

test('its sequences, triggers, functions and views work', async () => {
  await using cluster = await TestCluster.create({ major: 15 });
  await using session = await cluster.session();
  await createDvdRental(session);

  assert.equal(
    await single(session, `INSERT INTO actor (first_name, last_name) VALUES ('Haneul', 'Seo') RETURNING actor_id`),
    201,
  );
  assert.equal(
    await single(session, `UPDATE city SET city = city WHERE city_id = 1 RETURNING last_update = CURRENT_TIMESTAMP`),
    true,
  );
  assert.equal(
    await single(session, 'SELECT sum(total_sales) = (SELECT sum(amount) FROM payment) FROM sales_by_store'),
    true,
  );
  assert.equal(
    await single(session, 'SELECT sum(total_sales) = (SELECT sum(amount) FROM payment) FROM sales_by_film_category'),
    true,
  );
  const sizes = {
    actor_info: 201,
    customer_list: 599,
    staff_list: 2,
    film_list: 1000,
    nicer_but_slower_film_list: 1000,
  };
  for (const [view, count] of Object.entries(sizes)) {
    assert.equal(await single(session, `SELECT count(*)::int FROM ${view}`), count, view);
  }
  assert.equal(
    await single(
      session,
      `SELECT count(*)::int FROM inventory WHERE inventory_in_stock(inventory_id)
       IS DISTINCT FROM (inventory_held_by_customer(inventory_id) IS NULL)`,
    ),
    0,
  );
  assert.equal(await single(session, `SELECT last_day('2004-02-10')::text`), '2004-02-29');
});

/** The first column of the only row. */
async function single(session: SqlSession, sql: string): Promise<unknown> {
  const rows = await session.query<Record<string, unknown>>(sql);
  assert.equal(rows.length, 1);
  return Object.values(rows[0] ?? {})[0];
}
