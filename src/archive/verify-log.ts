import type { Timeline } from '../postgres/timeline.ts';
import type { VerifiedNotes } from '../repository/verified-notes.ts';
import type { FoundGood } from '../repository/verified.ts';
import { segmentOf, type LogContents } from './log-contents.ts';
import type { VerifyWalTask, WalDamage } from './verify-wal-items.ts';
import { parseWalObjectName } from './wal-keys.ts';

/** Segments from `first` to `last`, by name, on their timeline. */
export interface WantedSegments {
  readonly first: string;
  readonly last: string;
}

/** Whether an object of a log's folder is of one of these segments; everything is where none are named. */
export function isWithin(name: string, wanted: WantedSegments | undefined): boolean {
  if (!wanted) return true;
  const segment = name.slice(0, 24);
  return segment >= wanted.first && segment <= wanted.last;
}

interface LogOptions {
  readonly notes: VerifiedNotes;
  /** Everything where absent; what is found good is noted only then. */
  readonly only?: WantedSegments;
}

/** Objects to a task: some hundred megabytes of WAL. */
const taskObjects = 16;

/** What of a log is to be read; and what was found good when all of that has been. */
export class LogVerification {
  readonly #there: LogContents;
  readonly #options: LogOptions;
  readonly #segmentsPerLog: number;
  readonly #recent: FoundGood | undefined;
  readonly #badSegments = new Set<string>();
  readonly #badIndexes = new Set<string>();
  #underWay = 1;
  /** Of objects in the log's folder. */
  readonly #names: readonly string[];
  /** Indexes of segments that need not be read themselves. */
  readonly #indexes: readonly string[];
  readonly readsRollUp: boolean;

  constructor(there: LogContents, options: LogOptions, segmentsPerLog: number) {
    this.#there = there;
    this.#options = options;
    this.#segmentsPerLog = segmentsPerLog;
    this.#recent = options.notes.recent(there.thing);
    const isKnown = (digest: string): boolean => this.#recent?.digests.has(digest) === true;
    const all = isKnown(there.whole);
    const isWanted = (name: string): boolean => isWithin(name, options.only);
    this.#names = all
      ? []
      : [...there.content.keys()].filter((name) => !isKnown(there.content.get(name) ?? '') && isWanted(name));
    const read = new Set(this.#names.map(segmentOf));
    this.#indexes = all
      ? []
      : [...there.indexes.keys()].filter(
          (name) => !isKnown(there.indexes.get(name) ?? '') && !read.has(name) && isWanted(name),
        );
    this.readsRollUp = !all && options.only === undefined && there.rolledUp !== undefined && !isKnown(there.rolledUp);
  }

  get segmentsToRead(): number {
    return this.#names.filter((name) => parseWalObjectName(name)?.kind === 'segment').length;
  }

  *tasks(timeline: Timeline, log: bigint): Generator<VerifyWalTask> {
    for (let i = 0; i < this.#names.length; i += taskObjects) {
      yield { timeline, log, names: this.#names.slice(i, i + taskObjects), indexes: [], rolledUp: false };
    }
    if (this.#indexes.length === 0 && !this.readsRollUp) return;
    yield { timeline, log, names: [], indexes: this.#indexes, rolledUp: this.readsRollUp };
  }

  async run(read: () => Promise<readonly WalDamage[]>): Promise<void> {
    this.#underWay += 1;
    this.note(await read());
    await this.end();
  }

  note(damage: readonly WalDamage[]): void {
    for (const { name, what } of damage) (what === 'content' ? this.#badSegments : this.#badIndexes).add(name);
  }

  /** Called once when everything is sent, and by whoever has read something. */
  async end(): Promise<void> {
    this.#underWay -= 1;
    const { notes, only } = this.#options;
    if (this.#underWay > 0 || only) return;
    const good = this.#there.digests({ segments: this.#badSegments, indexes: this.#badIndexes });
    const isGood = this.#badSegments.size + this.#badIndexes.size === 0;
    const isWhole = isGood && this.#there.segments.length >= this.#segmentsPerLog;
    notes.noteGood(this.#there.thing, isWhole ? [this.#there.whole] : good, this.#recent?.atSeconds);
    await notes.saveNowAndThen();
  }
}
