import { setUpAt } from './moments.ts';
import { Random } from './random.ts';
import type { Address, City, Country } from './rows.ts';
import {
  cityBeginnings,
  cityEndings,
  countryEndings,
  countryStems,
  districts,
  streetKinds,
  streetNames,
} from './words/places.ts';

const mostCitiesInACountry = 40;

export function makeCountries(count: number): Country[] {
  const names = combine(countryStems, countryEndings);
  return new Random('country')
    .shuffled(names)
    .slice(0, count)
    .toSorted()
    .map((country, i) => ({ country_id: i + 1, country, last_update: setUpAt }));
}

export function makeCities(count: number, countries: readonly Country[]): City[] {
  const random = new Random('city');
  const shares = random.spread(count, countries.length, 1, mostCitiesInACountry);
  const homes = random.shuffled(countries.flatMap((country, i) => Array<Country>(shares[i] ?? 0).fill(country)));
  const names = random.shuffled(combine(cityBeginnings, cityEndings)).slice(0, count).toSorted();
  return homes.map((country, i) => ({
    city_id: i + 1,
    city: names[i] ?? '',
    country_id: country.country_id,
    last_update: setUpAt,
  }));
}

/** Every city has an address before any has a second one. */
export function makeAddresses(count: number, cities: readonly City[]): Address[] {
  const random = new Random('address');
  const order = random.shuffled(cities);
  return Array.from({ length: count }, (_, i) => ({
    address_id: i + 1,
    address: `${random.integer(1, 399)} ${random.pick(streetNames)} ${random.pick(streetKinds)}`,
    address2: random.integer(1, 12) === 1 ? `Floor ${random.integer(1, 9)}` : null,
    district: random.pick(districts),
    city_id: order[i % order.length]?.city_id ?? 1,
    postal_code: String(random.integer(10_000, 99_999)),
    phone: `${random.integer(100, 999)}-555-${String(random.integer(0, 9999)).padStart(4, '0')}`,
    last_update: setUpAt,
  }));
}

function combine(firsts: readonly string[], seconds: readonly string[]): string[] {
  return firsts.flatMap((first) => seconds.map((second) => first + second));
}
