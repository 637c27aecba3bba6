import { closingDay, day, formatMoment, hour, openingDay } from './moments.ts';
import { Random } from './random.ts';
import type { Customer, Film, Inventory, Payment, Rental } from './rows.ts';

const opensAt = 10 * hour;
const openFor = 12 * hour;

/** How many days after its due day a disc comes back at the latest. */
const mostDaysLate = 3;

/** A rental with its times as numbers, from which its row and its payment are made. */
export interface Lending {
  readonly customer: Customer;
  readonly disc: Inventory;
  readonly film: Film;
  readonly rentedAt: number;
  /** `undefined` while the disc is still out. */
  readonly returnedAt: number | undefined;
}

/**
 * A year of the shops, in order of time: customers come to their own store, more of them every month, take a
 * disc that is not out, and bring it back within some days.
 */
export function makeLendings(
  count: number,
  customers: readonly Customer[],
  inventory: readonly Inventory[],
  films: readonly Film[],
): Lending[] {
  const random = new Random('rental');
  const shelves = Map.groupBy(inventory, (disc) => disc.store_id);
  const filmOf = new Map(films.map((film) => [film.film_id, film]));
  const backAt = new Map<Inventory, number>();
  const moments = Array.from({ length: count }, () => visit(random)).toSorted((a, b) => a - b);
  return moments.map((rentedAt) => {
    const customer = random.pick(customers);
    const shelf = shelves.get(customer.store_id) ?? [];
    let disc = random.pick(shelf);
    while ((backAt.get(disc) ?? 0) >= rentedAt) disc = random.pick(shelf);
    const film = filmOf.get(disc.film_id) as Film;
    const back = visitOn(random, startOfDay(rentedAt) + random.integer(1, film.rental_duration + mostDaysLate) * day);
    backAt.set(disc, back);
    return { customer, disc, film, rentedAt, returnedAt: back < closingDay ? back : undefined };
  });
}

/** The square root makes late days likelier than early ones. */
function visit(random: Random): number {
  const days = (closingDay - openingDay) / day;
  return visitOn(random, openingDay + Math.floor(Math.sqrt(random.next()) * days) * day);
}

function visitOn(random: Random, startOfTheDay: number): number {
  return startOfTheDay + opensAt + random.integer(0, openFor - 1);
}

function startOfDay(moment: number): number {
  return moment - (moment % day);
}

export function makeRentals(lendings: readonly Lending[]): Rental[] {
  return lendings.map(({ customer, disc, rentedAt, returnedAt }, i) => ({
    rental_id: i + 1,
    rental_date: formatMoment(rentedAt),
    inventory_id: disc.inventory_id,
    customer_id: customer.customer_id,
    return_date: returnedAt === undefined ? null : formatMoment(returnedAt),
    staff_id: disc.store_id,
    last_update: formatMoment(returnedAt ?? rentedAt),
  }));
}

/** `count` of the discs that came back have been paid for, at the counter, in order of time. */
export function makePayments(count: number, lendings: readonly Lending[]): Payment[] {
  const returned = lendings.flatMap((lending, i) =>
    lending.returnedAt === undefined ? [] : [{ ...lending, rentalId: i + 1, paidAt: lending.returnedAt }],
  );
  return new Random('payment')
    .shuffled(returned)
    .slice(0, count)
    .toSorted((a, b) => a.paidAt - b.paidAt || a.rentalId - b.rentalId)
    .map(({ customer, disc, film, rentedAt, paidAt, rentalId }, i) => ({
      payment_id: i + 1,
      customer_id: customer.customer_id,
      staff_id: disc.store_id,
      rental_id: rentalId,
      amount: price(film, rentedAt, paidAt),
      payment_date: formatMoment(paidAt),
    }));
}

/** The film's rate, and a dollar for every day late. */
function price(film: Film, rentedAt: number, returnedAt: number): string {
  const days = (startOfDay(returnedAt) - startOfDay(rentedAt)) / day;
  const cents = Math.round(Number(film.rental_rate) * 100) + Math.max(0, days - film.rental_duration) * 100;
  return (cents / 100).toFixed(2);
}
