import { assert } from '../errors/pgrecall-error.ts';
import type { PackId } from '../repository/pack-id.ts';

interface KnownPack {
  readonly pack: PackId;
  isKnown: boolean;
  /** What it is as it was found. */
  digest: string;
  /** Backups that refer to it and are still to be read. */
  readers: number;
}

/** The packs of all backups, each by a number: a thousand backups may name ten thousand of them each. */
export class PackTable {
  readonly #places = new Map<string, number>();
  readonly #packs: KnownPack[] = [];

  placesOf(packs: readonly PackId[]): Uint32Array {
    return Uint32Array.from(packs, (pack) => this.#placeOf(pack));
  }

  #placeOf(pack: PackId): number {
    const there = this.#places.get(pack);
    if (there !== undefined) return there;
    const place = this.#packs.length;
    this.#places.set(pack, place);
    this.#packs.push({ pack, isKnown: false, digest: '', readers: 0 });
    return place;
  }

  #at(place: number): KnownPack {
    const found = this.#packs[place];
    assert(found, `a pack at place ${place}`);
    return found;
  }

  get size(): number {
    return this.#packs.length;
  }

  packAt(place: number): PackId {
    return this.#at(place).pack;
  }

  digestAt(place: number): string {
    return this.#at(place).digest;
  }

  setDigest(place: number, digest: string): void {
    this.#at(place).digest = digest;
  }

  /** It was found good not long ago. */
  setKnown(place: number): void {
    this.#at(place).isKnown = true;
  }

  allKnown(places: Uint32Array): boolean {
    return places.every((place) => this.#at(place).isKnown);
  }

  isToRead(pack: PackId): boolean {
    const place = this.#places.get(pack);
    return place === undefined || !this.#at(place).isKnown;
  }

  addReaders(places: Uint32Array): void {
    for (const place of places) this.#at(place).readers += 1;
  }

  /** Somebody refers to it of whom it is not known what he refers to: it is never read whole. */
  keepOpen(packs: readonly string[]): void {
    for (const pack of packs) {
      const place = this.#places.get(pack);
      if (place !== undefined) this.#at(place).readers += 1;
    }
  }

  /** Those that nobody is to read any more, and that were not known to be good before. */
  removeReader(places: Uint32Array): number[] {
    const done: number[] = [];
    for (const place of places) {
      const pack = this.#at(place);
      pack.readers -= 1;
      if (pack.readers === 0 && !pack.isKnown) done.push(place);
    }
    return done;
  }
}
