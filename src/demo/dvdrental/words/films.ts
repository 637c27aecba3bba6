/* What films are called and about: titles and descriptions are put together from these words. */

export const titleFirstWords: readonly string[] = `
Absent Autumn Borrowed Broken Burning Careless Clockwork Crimson Crooked Dancing Distant Drowsy Electric Emerald Endless
Faithful Falling Floating Forgotten Foreign Frozen Gentle Gilded Hidden Hollow Honest Hungry Invisible Ivory Jealous
Lonely Lucky Midnight Missing Narrow Nervous Paper Patient Perfect Polite Quiet Reckless Restless Rusty Second Secret
Seventh Silent Sleeping Slow Stolen Stubborn Sunday Tender Thirsty Velvet Wandering Winter Wooden Yellow`
  .trim()
  .split(/\s+/);

export const titleSecondWords: readonly string[] = `
Accordion Alibi Almanac Ambassador Anchor Arcade Balcony Balloon Bandit Banquet Bicycle Brigade Carnival Cathedral
Caravan Comet Compass Corridor Detective Dictionary Elevator Envelope Farewell Ferry Festival Fortune Galaxy Gardener
Gondola Harvest Horizon Hotel Island Journey Jury Kingdom Lagoon Laundry Lighthouse Locksmith Mammoth Melody Messenger
Miracle Mirror Museum Nephew Notebook Orchestra Orchid Parade Passenger Pharaoh Piano Postman Railway Rebellion Satellite
Scarecrow Shadow Sonata Staircase Stranger Submarine Tailor Telegram Theatre Thunder Tornado Umbrella Violin Volcano
Waltz Weekend Whistle Windmill`
  .trim()
  .split(/\s+/);

export const moods = [
  'bittersweet',
  'bold',
  'charming',
  'deadpan',
  'gloomy',
  'heartfelt',
  'playful',
  'slow-burning',
  'sunlit',
  'tense',
  'thoughtful',
  'unlikely',
  'wry',
] as const;

export const kinds = [
  'ballad',
  'chronicle',
  'fable',
  'farce',
  'meditation',
  'portrait',
  'puzzle',
  'romance',
  'saga',
  'tale',
  'tragedy',
] as const;

export const heroes = [
  'apiarist',
  'archivist',
  'balloonist',
  'barber',
  'botanist',
  'cartographer',
  'cellist',
  'clockmaker',
  'dentist',
  'diver',
  'ferryman',
  'forger',
  'geologist',
  'goatherd',
  'juggler',
  'librarian',
  'lifeguard',
  'locksmith',
  'magician',
  'meteorologist',
  'notary',
  'plumber',
  'retired general',
  'shepherd',
  'stenographer',
  'surveyor',
  'taxi driver',
  'telegraphist',
  'ventriloquist',
  'wrestler',
] as const;

export const deeds = [
  'befriend',
  'defend',
  'deliver',
  'forgive',
  'imitate',
  'invent',
  'lose',
  'misplace',
  'outwit',
  'photograph',
  'repair',
  'rescue',
  'sell',
  'smuggle',
  'steal',
  'win',
] as const;

export const things = [
  'a borrowed elephant',
  'a brass telescope',
  'a counterfeit map',
  'a forgotten opera',
  'a haunted caravan',
  'a lighthouse lamp',
  'a locked suitcase',
  'a migrating herd',
  'a one-eyed parrot',
  'a piano with no strings',
  'a recipe for glass',
  'a rival orchestra',
  'a runaway tram',
  'a stopped clock',
  'an empty hotel',
  'the last train home',
  'the mayor’s hat',
  'the moon’s reflection',
  'the wrong inheritance',
  'their own shadow',
] as const;

export const settings = [
  'aboard a night ferry',
  'at a frozen lake',
  'at the end of a pier',
  'before the harvest',
  'beneath an observatory',
  'during a census',
  'in a city without mirrors',
  'in a drowned valley',
  'in a museum after closing',
  'in the longest winter',
  'on a mountain railway',
  'on market day',
  'on the border of two maps',
  'under a circus tent',
] as const;

export const specialFeatures = ['Trailers', 'Commentaries', 'Deleted Scenes', 'Behind the Scenes'] as const;
export const ratings = ['G', 'PG', 'PG-13', 'R', 'NC-17'] as const;

export const languages: readonly string[] = ['English', 'Korean', 'Spanish', 'Swahili', 'Hindi', 'Finnish'];

export const categories: readonly string[] = `
Adventure Biography Circus Crime Detective Documentary Family Fantasy History Music Mystery Nature Romance Satire Science
Silent`
  .trim()
  .split(/\s+/);
