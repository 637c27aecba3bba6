import { makeCategories, makeFilmActors, makeFilmCategories, makeFilms, makeLanguages } from './films.ts';
import { makeActors, makeCustomers, makePeople, makeStaff } from './people.ts';
import { makeAddresses, makeCities, makeCountries } from './places.ts';
import { makeLendings, makePayments, makeRentals } from './rentals.ts';
import { makeInventory, makeStores } from './shops.ts';

/** How many rows each table has: what the well-known sample has, too. */
export const rowCounts = {
  country: 109,
  city: 600,
  address: 603,
  language: 6,
  category: 16,
  actor: 200,
  film: 1_000,
  film_actor: 5_462,
  film_category: 1_000,
  store: 2,
  staff: 2,
  customer: 599,
  inventory: 4_581,
  rental: 16_044,
  payment: 14_596,
} as const;

export type TableName = keyof typeof rowCounts;

/** Every row of every table, the same ones at every call; about 45 thousand. */
export function generateDvdRental() {
  const counts = rowCounts;
  const country = makeCountries(counts.country);
  const city = makeCities(counts.city, country);
  const address = makeAddresses(counts.address, city);
  const language = makeLanguages();
  const category = makeCategories();

  const people = makePeople(counts.actor + counts.staff + counts.customer);
  const actor = makeActors(people.slice(0, counts.actor));
  const film = makeFilms(counts.film, language);

  const homes = address.slice(counts.store);
  const store = makeStores(address.slice(0, counts.store));
  const staff = makeStaff(people.slice(counts.actor, counts.actor + counts.staff), homes);
  const customer = makeCustomers(people.slice(counts.actor + counts.staff), homes.slice(counts.staff), store);
  const inventory = makeInventory(counts.inventory, film, store);
  const lendings = makeLendings(counts.rental, customer, inventory, film);

  return {
    country,
    city,
    address,
    language,
    category,
    actor,
    film,
    film_actor: makeFilmActors(counts.film_actor, film, actor),
    film_category: makeFilmCategories(film, category),
    store,
    staff,
    customer,
    inventory,
    rental: makeRentals(lendings),
    payment: makePayments(counts.payment, lendings),
  } satisfies Record<TableName, readonly object[]>;
}

export type DvdRental = ReturnType<typeof generateDvdRental>;
