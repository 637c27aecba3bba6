import { setUpAt } from './moments.ts';
import { Random } from './random.ts';
import type { Address, Film, Inventory, Store } from './rows.ts';

const mostCopiesOfAFilm = 8;

/** The manager of each store has the store's own number. */
export function makeStores(addresses: readonly Address[]): Store[] {
  return addresses.map((address, i) => ({
    store_id: i + 1,
    manager_staff_id: i + 1,
    address_id: address.address_id,
    last_update: setUpAt,
  }));
}

/** The discs on the shelves; of some films there are none. */
export function makeInventory(count: number, films: readonly Film[], stores: readonly Store[]): Inventory[] {
  const random = new Random('inventory');
  const copies = random.spread(count, films.length, 0, mostCopiesOfAFilm);
  const onShelves = films.flatMap((film, i) => Array<Film>(copies[i] ?? 0).fill(film));
  return onShelves.map((film, i) => ({
    inventory_id: i + 1,
    film_id: film.film_id,
    store_id: random.pick(stores).store_id,
    last_update: setUpAt,
  }));
}
