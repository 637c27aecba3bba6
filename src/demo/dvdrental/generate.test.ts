import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { generateDvdRental, rowCounts, type TableName } from './generate.ts';

const rows = generateDvdRental();

test('every table has as many rows as the well-known sample', () => {
  for (const table of Object.keys(rowCounts) as TableName[]) assert.equal(rows[table].length, rowCounts[table], table);
});

test('the rows are the same wherever and whenever they are made', () => {
  const hash = createHash('sha256').update(JSON.stringify(rows)).digest('hex');
  assert.equal(hash, 'a051bfc9b37f7c00f3ab24790b449c4b5cfbab391bf193598e74431e97c57ba1');
  assert.deepEqual(generateDvdRental(), rows);
});

test('no two films share a title, no two actors or customers a name', () => {
  assert.equal(new Set(rows.film.map((film) => film.title)).size, rows.film.length);
  const people = [...rows.actor, ...rows.customer, ...rows.staff];
  assert.equal(new Set(people.map((person) => `${person.first_name} ${person.last_name}`)).size, people.length);
});

test('no actor is called Kim, so that the accident of the demo shows on each', () => {
  assert.ok(rows.actor.every((actor) => actor.last_name !== 'Kim'));
});

test('a disc is never lent twice at a time', () => {
  const backAt = new Map<number, string>();
  for (const rental of rows.rental) {
    assert.ok((backAt.get(rental.inventory_id) ?? '') < rental.rental_date, `rental ${rental.rental_id}`);
    assert.ok(rental.return_date === null || rental.return_date > rental.rental_date);
    backAt.set(rental.inventory_id, rental.return_date ?? '9999');
  }
});

test('a payment is for one rental that was returned, by the customer who rented, at the film’s rate or more', () => {
  const paid = new Set<number>();
  for (const payment of rows.payment) {
    const rental = rows.rental[payment.rental_id - 1];
    assert.equal(rental?.customer_id, payment.customer_id);
    assert.equal(rental.return_date, payment.payment_date);
    const disc = rows.inventory[rental.inventory_id - 1];
    assert.equal(disc?.store_id, payment.staff_id);
    assert.ok(Number(payment.amount) >= Number(rows.film[disc.film_id - 1]?.rental_rate));
    paid.add(payment.rental_id);
  }
  assert.equal(paid.size, rows.payment.length);
});
