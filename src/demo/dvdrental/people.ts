import { day, formatDay, openingDay, setUpAt } from './moments.ts';
import { Random } from './random.ts';
import type { Actor, Address, Customer, Staff, Store } from './rows.ts';
import { firstNames, lastNames } from './words/names.ts';

export interface Person {
  readonly first: string;
  readonly last: string;
}

/** `count` people, no two of one name. */
export function makePeople(count: number): Person[] {
  const pairs = firstNames.flatMap((first) => lastNames.map((last) => ({ first, last })));
  return new Random('people').shuffled(pairs).slice(0, count);
}

export function makeActors(people: readonly Person[]): Actor[] {
  return people.map(({ first, last }, i) => ({
    actor_id: i + 1,
    first_name: first,
    last_name: last,
    last_update: setUpAt,
  }));
}

/** One works in each store, and manages it. */
export function makeStaff(people: readonly Person[], addresses: readonly Address[]): Staff[] {
  return people.map((person, i) => ({
    staff_id: i + 1,
    first_name: person.first,
    last_name: person.last,
    address_id: addresses[i]?.address_id ?? 0,
    email: mailAddress(person, 'staff.example'),
    store_id: i + 1,
    active: true,
    username: plain(person.first),
    password: null,
    last_update: setUpAt,
    picture: i === 0 ? picture : null,
  }));
}

/** A PNG of one grey dot. */
const picture =
  '\\x89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b' +
  '550000000a49444154789c636800000082008177cd72b60000000049454e44ae426082';

export function makeCustomers(
  people: readonly Person[],
  addresses: readonly Address[],
  stores: readonly Store[],
): Customer[] {
  const random = new Random('customer');
  return people.map((person, i) => {
    const active = random.integer(1, 40) > 1;
    return {
      customer_id: i + 1,
      store_id: random.pick(stores).store_id,
      first_name: person.first,
      last_name: person.last,
      email: mailAddress(person, 'customer.example'),
      address_id: addresses[i]?.address_id ?? 0,
      activebool: active,
      create_date: formatDay(openingDay - random.integer(1, 60) * day),
      last_update: setUpAt,
      active: active ? 1 : 0,
    };
  });
}

function mailAddress(person: Person, domain: string): string {
  return `${plain(person.first)}.${plain(person.last)}@${domain}`;
}

/** Without accents and capitals. */
function plain(name: string): string {
  return name
    .normalize('NFD')
    .toLowerCase()
    .replaceAll(/[^a-z]/g, '');
}
