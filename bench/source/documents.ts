import { Random } from '../../src/demo/dvdrental/random.ts';

/*
 * Rows of a table of documents, as COPY reads them: prose of made-up words, some of which are frequent and most rare, as
 * in a language, and jsonb with the same keys in every row. Random bytes would say nothing about compression, and a
 * thousand times the same text would flatter it.
 */

export const documentsTable = `CREATE TABLE documents (
  id bigint PRIMARY KEY, created timestamptz, author text, title text, body text, meta jsonb)`;

const vocabularySize = 6000;
const tableSize = 65_536;
const fewestWords = 60;
const mostWords = 140;

/** The documents with identifiers from `first` on; the same for the same numbers, everywhere. */
export function* documentRows(first: number, count: number): Generator<string> {
  const words = wordsByFrequency();
  const random = new Random(`documents from ${first}`);
  const word = (): string => random.pick(words);
  for (let id = first; id < first + count; id += 1) {
    const body = Array.from({ length: random.integer(fewestWords, mostWords) }, word);
    const meta = {
      source: random.pick(['import', 'editor', 'api']),
      language: random.pick(['en', 'ko', 'de']),
      views: random.integer(0, 99_999),
      tags: body.slice(0, 4),
      revision: { number: random.integer(1, 40), checksum: hexadecimal(random), approved: random.next() < 0.5 },
      links: [`https://www.example.org/${body[5]}/${body[6]}`, `https://www.example.org/${random.integer(1, 1e6)}.png`],
    };
    const created = new Date(1_700_000_000_000 + random.integer(0, 50_000_000) * 1000).toISOString();
    const author = `${word()}.${word()}@example.org`;
    yield `${[id, created, author, body.slice(0, 6).join(' '), body.join(' '), JSON.stringify(meta)].join('\t')}\n`;
  }
}

function hexadecimal(random: Random): string {
  return Array.from({ length: 4 }, () => random.integer(0, 0xffff_ffff).toString(16).padStart(8, '0')).join('');
}

let words: readonly string[] | undefined;

/** Every word as often as it occurs: the n-th as often as one n-th of the first. */
function wordsByFrequency(): readonly string[] {
  if (words) return words;
  const random = new Random('vocabulary');
  const syllables = 'b c d f g h k l m n p r s t v w st tr ch pl'
    .split(' ')
    .flatMap((head) =>
      ['a', 'e', 'i', 'o', 'u'].flatMap((vowel) => ['', 'n', 'r', 's'].map((end) => head + vowel + end)),
    );
  const vocabulary = Array.from({ length: vocabularySize }, () =>
    Array.from({ length: random.pick([1, 1, 2, 2, 2, 3, 3]) }, () => random.pick(syllables)).join(''),
  );
  const weights = vocabulary.map((_, place) => 1 / (place + 2));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  words = vocabulary.flatMap((word, place) =>
    Array.from({ length: Math.max(1, Math.round(((weights[place] ?? 0) / total) * tableSize)) }, () => word),
  );
  return words;
}
