import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterRepository } from './cluster-repository.ts';
import { isDamage } from './tombstone.ts';
import { decodeVerified, encodeVerified, mergeVerified, type FoundGood, type Verified } from './verified.ts';

const key = 'verified';
/** Some bytes a pack, a manifest and a log of WAL: nothing comes near this. */
const maxBytes = 268_435_456;

const saveEverySeconds = 30;

export interface NotesOptions {
  readonly now: () => Date;
  /** How long what was found good counts as good; not at all where absent. */
  readonly sinceMs?: number | undefined;
}

/**
 * What earlier runs of `verify` found good, and what this one does. It is kept in one object of the cluster, which is
 * replaced as a whole; of two who write it at the same time one may lose what it noted, and somebody reads that again.
 */
export class VerifiedNotes {
  readonly #cluster: ClusterRepository;
  readonly #now: () => Date;
  readonly #before: Verified;
  readonly #window: { readonly from: number; readonly to: number };
  readonly #found = new Map<string, FoundGood>();
  readonly #bad = new Set<string>();
  #savedSeconds: number;

  private constructor(cluster: ClusterRepository, before: Verified, options: NotesOptions) {
    this.#cluster = cluster;
    this.#now = options.now;
    this.#before = before;
    const to = secondsOf(options.now());
    this.#savedSeconds = to;
    this.#window = { from: options.sinceMs === undefined ? Infinity : to - options.sinceMs / 1000, to };
  }

  static async open(cluster: ClusterRepository, options: NotesOptions): Promise<VerifiedNotes> {
    return new VerifiedNotes(cluster, await readNotes(cluster), options);
  }

  /** What still counts as good of this thing. */
  recent(name: string): FoundGood | undefined {
    const thing = this.#before.get(name);
    const { from, to } = this.#window;
    // What was found good in the future was found by a clock that was wrong.
    return thing && thing.atSeconds >= from && thing.atSeconds <= to ? thing : undefined;
  }

  /** Whether it was found good, as it is now, and still counts as that. */
  isGood(name: string, digest: string): boolean {
    return this.recent(name)?.digests.has(digest) === true;
  }

  /** `atSeconds`: when a part of it was found good, where that was before this run. */
  noteGood(name: string, digests: Iterable<string>, atSeconds = this.#window.to): void {
    this.#found.set(name, { atSeconds, digests: new Set(digests) });
  }

  /** Whatever was thought of it before. */
  noteBad(name: string): void {
    this.#bad.add(name);
    this.#found.delete(name);
  }

  /** Saves what there is if that was not done for a while: a run may take days. */
  async saveNowAndThen(): Promise<void> {
    if (secondsOf(this.#now()) < this.#savedSeconds + saveEverySeconds) return;
    try {
      await this.save();
    } catch (error) {
      // Where nobody may write, the last one says so.
      if (!(error instanceof PgrecallError)) throw error;
    }
  }

  /** Durable on return. `isThere`: whether there is still a thing of that name; all others are forgotten. */
  async save(isThere: (name: string) => boolean = () => true): Promise<void> {
    const stored = await readNotes(this.#cluster);
    const latest = secondsOf(this.#now());
    this.#savedSeconds = latest;
    const merged = mergeVerified(new Map([...stored].filter(([, { atSeconds }]) => atSeconds <= latest)), this.#found);
    for (const name of merged.keys()) if (this.#bad.has(name) || !isThere(name)) merged.delete(name);
    const bytes = encodeVerified(merged);
    if (Buffer.compare(bytes, encodeVerified(stored)) === 0) return;
    await this.#cluster.putSealed(key, bytes, { replace: true });
  }
}

function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}

/** Lost or damaged notes cost reading, and nothing else. */
async function readNotes(cluster: ClusterRepository): Promise<Verified> {
  try {
    return decodeVerified(await cluster.getSealed(key, maxBytes));
  } catch (error) {
    if (!isDamage(error)) throw error;
    return new Map();
  }
}
