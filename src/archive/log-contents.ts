import { formatTimeline, type Timeline } from '../postgres/timeline.ts';
import { digestOf } from '../repository/verified.ts';
import { formatLog, parseWalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/**
 * What is stored of one log of WAL, each object by a digest of its name and size: what `verify` notes as good, and finds
 * again as it was (repository/verified.ts).
 */
export class LogContents {
  /** What `VerifiedNotes` calls it. */
  readonly thing: string;
  /** Of the objects in the log's folder, by name. */
  readonly content: ReadonlyMap<string, string>;
  /** Of the single indexes, by segment. */
  readonly indexes: ReadonlyMap<string, string>;
  /** Of the index of the whole log. */
  readonly rolledUp: string | undefined;

  private constructor(
    thing: string,
    content: ReadonlyMap<string, string>,
    indexes: ReadonlyMap<string, string>,
    rolledUp: string | undefined,
  ) {
    this.thing = thing;
    this.content = content;
    this.indexes = indexes;
    this.rolledUp = rolledUp;
  }

  static async read(store: WalStore, timeline: Timeline, log: bigint): Promise<LogContents> {
    const { keys } = store;
    const thing = `wal/${store.incarnation.number}/${formatTimeline(timeline)}/${formatLog(log)}`;
    // A roll-up is there before the single ones go.
    const indexes = await digestsIn(store, keys.indexLogFolder(timeline, log), 'index');
    const rolledUp = await store.cluster.objectBytes(keys.logIndexKey(timeline, log));
    return new LogContents(
      thing,
      await digestsIn(store, keys.logFolder(timeline, log), 'content'),
      indexes,
      rolledUp === undefined ? undefined : digestOf('rolled up', rolledUp),
    );
  }

  /** Names of whole segments, in order. */
  get segments(): readonly string[] {
    const parsed = [...this.content.keys()].map(parseWalObjectName);
    return parsed.filter((name) => name?.kind === 'segment').map((name) => name?.segment ?? '');
  }

  /** Segments that have no index, in whatever form. */
  get withoutIndex(): readonly string[] {
    return this.rolledUp === undefined ? this.segments.filter((segment) => !this.indexes.has(segment)) : [];
  }

  /** Every digest but those of what is named. */
  digests(bad: { readonly segments: ReadonlySet<string>; readonly indexes: ReadonlySet<string> }): string[] {
    const good: string[] = [];
    for (const [name, digest] of this.content) {
      const segment = segmentOf(name);
      // What an index should say is only known with its segment.
      if (!bad.segments.has(segment) && !bad.indexes.has(segment)) good.push(digest);
    }
    for (const [segment, digest] of this.indexes) if (!bad.indexes.has(segment)) good.push(digest);
    if (this.rolledUp !== undefined && bad.indexes.size === 0) good.push(this.rolledUp);
    return good;
  }

  /** All of it as one. */
  get whole(): string {
    return digestOf('whole', ...this.digests({ segments: new Set(), indexes: new Set() }).toSorted());
  }
}

/** What damage of an object in a log's folder is called after. */
export function segmentOf(name: string): string {
  return parseWalObjectName(name)?.segment ?? name;
}

async function digestsIn(store: WalStore, folder: string, what: string): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const name of await store.cluster.listNames(folder)) {
    const sizeBytes = await store.cluster.objectBytes(`${folder}/${name}`);
    // One that is gone by now was removed for a reason, or is missed elsewhere.
    if (sizeBytes !== undefined) digests.set(name, digestOf(what, name, sizeBytes));
  }
  return digests;
}
