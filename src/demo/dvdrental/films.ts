import { setUpAt } from './moments.ts';
import { Random } from './random.ts';
import type { Actor, Category, Film, FilmActor, FilmCategory, Language } from './rows.ts';
import {
  categories,
  deeds,
  heroes,
  kinds,
  languages,
  moods,
  ratings,
  settings,
  specialFeatures,
  things,
  titleFirstWords,
  titleSecondWords,
} from './words/films.ts';

const rates = ['0.99', '2.99', '4.99'];
const largestCast = 12;

export function makeLanguages(): Language[] {
  return languages.map((name, i) => ({ language_id: i + 1, name, last_update: setUpAt }));
}

export function makeCategories(): Category[] {
  return categories.map((name, i) => ({ category_id: i + 1, name, last_update: setUpAt }));
}

/** In order of their titles, no two of which are the same. */
export function makeFilms(count: number, spoken: readonly Language[]): Film[] {
  const random = new Random('film');
  const titles = titleFirstWords.flatMap((first) => titleSecondWords.map((second) => `${first} ${second}`));
  return random
    .shuffled(titles)
    .slice(0, count)
    .toSorted()
    .map((title, i) => ({
      film_id: i + 1,
      title,
      description: describe(random),
      release_year: random.integer(1955, 2004),
      // Half of the films are in the first language.
      language_id: random.integer(0, 1) === 0 ? 1 : random.pick(spoken).language_id,
      rental_duration: random.integer(3, 7),
      rental_rate: random.pick(rates),
      length: random.integer(46, 185),
      replacement_cost: `${random.integer(9, 29)}.99`,
      rating: random.pick(ratings),
      last_update: setUpAt,
      special_features: specialFeatures.filter(() => random.integer(0, 1) === 1),
    }));
}

function describe(random: Random): string {
  const mood = random.pick(moods);
  const hero = random.pick(heroes);
  const other = random.pick(heroes.filter((candidate) => candidate !== hero));
  const story = `${random.pick(kinds)} of ${withArticle(hero)} and ${withArticle(other)}`;
  const end = `who must ${random.pick(deeds)} ${random.pick(things)} ${random.pick(settings)}`;
  return `${withArticle(mood)} ${story} ${end}`.replace(/^a/, 'A');
}

function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

export function makeFilmActors(count: number, films: readonly Film[], actors: readonly Actor[]): FilmActor[] {
  const random = new Random('film_actor');
  const casts = random.spread(count, films.length, 1, largestCast);
  return films
    .flatMap((film, i) =>
      random
        .shuffled(actors)
        .slice(0, casts[i])
        .map((actor) => ({ actor_id: actor.actor_id, film_id: film.film_id, last_update: setUpAt })),
    )
    .toSorted((a, b) => a.actor_id - b.actor_id || a.film_id - b.film_id);
}

/** Each film is in one category. */
export function makeFilmCategories(films: readonly Film[], all: readonly Category[]): FilmCategory[] {
  const random = new Random('film_category');
  return films.map((film) => ({
    film_id: film.film_id,
    category_id: random.pick(all).category_id,
    last_update: setUpAt,
  }));
}
