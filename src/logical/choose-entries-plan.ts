import { relationKinds, type LoadEntry } from './load-entry.ts';

/*
 * Which entries of a table of contents are loaded when only some tables or schemas are wanted: those, with what belongs to
 * them (rows, indexes, constraints, sequences of their columns, privileges, comments), and what they cannot be made without
 * (types, functions, schemas, extensions). `pg_restore --table` does neither.
 */

export interface ChosenEntries {
  /** Their ids; the order is that of the table of contents. */
  readonly ids: ReadonlySet<number>;
  /** Among them those that nobody has asked for, and that do not belong to what was. */
  readonly needed: readonly LoadEntry[];
  /** What belongs to what is wanted and cannot be made without a relation that is not. */
  readonly leftOut: readonly LoadEntry[];
  /** Relations without which others that are wanted cannot be made: tables of a view, parents of a table. */
  readonly lacking: readonly { readonly relation: LoadEntry; readonly for: LoadEntry }[];
}

/** Of a relation, and named after it: `film film_pkey`. */
const namedAfterRelation = new Set([
  ...['DEFAULT', 'CONSTRAINT', 'CHECK CONSTRAINT', 'FK CONSTRAINT', 'RULE', 'TRIGGER', 'POLICY', 'ROW SECURITY'],
]);
/** Of the relations that they depend on. */
const ofRelation = new Set([
  ...['TABLE DATA', 'MATERIALIZED VIEW DATA', 'INDEX', 'STATISTICS', 'STATISTICS DATA', 'EXTENDED STATISTICS DATA'],
  ...['SEQUENCE SET', 'SEQUENCE OWNED BY'],
]);
/** Between relations: all that they depend on have to be there. */
const between = new Set(['FK CONSTRAINT', 'TABLE ATTACH', 'INDEX ATTACH']);
/** Of whatever they depend on. */
const ofAnything = new Set(['ACL', 'COMMENT', 'SECURITY LABEL']);
/** Of a publication: it is none of the table's. */
const ofOthers = new Set(['PUBLICATION TABLE', 'PUBLICATION TABLES IN SCHEMA', 'PUBLICATION REL']);

/** `isThere`: what the target has already need not come along. */
export function chooseEntries(
  entries: readonly LoadEntry[],
  isRoot: (entry: LoadEntry) => boolean,
  isThere: (entry: LoadEntry) => boolean = () => false,
): ChosenEntries {
  return new Choice(entries, isThere).choose(isRoot);
}

class Choice {
  readonly #entries: readonly LoadEntry[];
  readonly #byId: ReadonlyMap<number, LoadEntry>;
  /** Partitions are made as tables of their own, then attached. */
  readonly #attached: ReadonlySet<number>;
  readonly #isThere: (entry: LoadEntry) => boolean;
  readonly #ids = new Set<number>();
  readonly #needed = new Map<number, LoadEntry>();

  constructor(entries: readonly LoadEntry[], isThere: (entry: LoadEntry) => boolean) {
    this.#entries = entries;
    this.#byId = new Map(entries.map((entry) => [entry.dumpId, entry]));
    this.#attached = new Set(
      entries.filter(({ kind }) => kind === 'TABLE ATTACH').flatMap(({ dependencies: [child] }) => child ?? []),
    );
    this.#isThere = isThere;
  }

  choose(isRoot: (entry: LoadEntry) => boolean): ChosenEntries {
    for (const entry of this.#entries) if (!isPart(entry) && isRoot(entry)) this.#ids.add(entry.dumpId);
    // Dumps of rows alone have no tables that these could belong to.
    for (const entry of this.#entries) if (this.#isOrphan(entry) && isRoot(entry)) this.#ids.add(entry.dumpId);
    do this.#addParts();
    while (this.#addNeeds());
    const leftOut = this.#entries.filter(
      (entry) => between.has(entry.kind) && !this.#ids.has(entry.dumpId) && this.#belongs(entry),
    );
    return { ids: this.#ids, needed: [...this.#needed.values()], leftOut, lacking: this.#lacking() };
  }

  #addParts(): void {
    let before: number;
    do {
      before = this.#ids.size;
      for (const entry of this.#entries) {
        if (this.#ids.has(entry.dumpId) || !this.#belongs(entry)) continue;
        if (!between.has(entry.kind) || this.#relationsOf(entry).every((relation) => this.#isAtTarget(relation))) {
          this.#ids.add(entry.dumpId);
        }
      }
    } while (this.#ids.size > before);
  }

  /** Whether it is a part of something that is chosen. */
  #belongs(entry: LoadEntry): boolean {
    const { kind, schema, tag, dependencies } = entry;
    const chosen = dependencies.filter((id) => this.#ids.has(id));
    if (chosen.length === 0) return false;
    if (ofAnything.has(kind)) return true;
    if (kind === 'SEQUENCE OWNED BY') {
      const owners = chosen.flatMap((id) => this.#relationsOf(this.#byId.get(id)));
      return owners.every((owner) => this.#isAtTarget(owner));
    }
    // The child comes first.
    if (kind === 'TABLE ATTACH' || kind === 'INDEX ATTACH') return chosen.includes(dependencies[0] ?? 0);
    const relations = chosen.flatMap((id) => this.#byId.get(id) ?? []).filter((other) => relationKinds.has(other.kind));
    if (namedAfterRelation.has(kind)) {
      return relations.some((other) => other.schema === schema && `${tag} `.startsWith(`${other.tag} `));
    }
    // Of a column: what a default of another table uses is not.
    if (kind === 'SEQUENCE') return relations.some((other) => other.kind !== 'SEQUENCE');
    return ofRelation.has(kind) && relations.length > 0;
  }

  /** True where something was added. */
  #addNeeds(): boolean {
    const before = this.#ids.size;
    for (const id of [...this.#ids]) {
      const entry = this.#byId.get(id);
      if (!entry || entry.kind === 'SEQUENCE OWNED BY') continue;
      for (const other of entry.dependencies) {
        const need = this.#byId.get(other);
        if (!need || this.#ids.has(other) || isPart(need) || this.#isThere(need)) continue;
        if (relationKinds.has(need.kind) && (need.kind !== 'SEQUENCE' || entry.kind !== 'DEFAULT')) continue;
        this.#ids.add(other);
        this.#needed.set(other, need);
      }
    }
    return this.#ids.size > before;
  }

  #lacking(): ChosenEntries['lacking'] {
    const found = new Map<number, { readonly relation: LoadEntry; readonly for: LoadEntry }>();
    for (const entry of this.#entries) {
      if (!this.#ids.has(entry.dumpId) || isPart(entry) || entry.kind === 'SEQUENCE') continue;
      if (this.#attached.has(entry.dumpId)) continue;
      for (const relation of this.#relationsOf(entry)) {
        if (!this.#isAtTarget(relation) && !found.has(relation.dumpId))
          found.set(relation.dumpId, { relation, for: entry });
      }
    }
    return [...found.values()];
  }

  #isAtTarget(relation: LoadEntry): boolean {
    return this.#ids.has(relation.dumpId) || this.#isThere(relation);
  }

  #relationsOf(entry: LoadEntry | undefined): LoadEntry[] {
    return (entry?.dependencies ?? [])
      .flatMap((id) => this.#byId.get(id) ?? [])
      .filter(({ kind }) => relationKinds.has(kind) || kind === 'INDEX');
  }

  #isOrphan({ kind, dependencies }: LoadEntry): boolean {
    return ofRelation.has(kind) && kind !== 'INDEX' && !dependencies.some((id) => this.#byId.has(id));
  }
}

/** Whether it comes and goes with something else. */
function isPart({ kind }: LoadEntry): boolean {
  return [namedAfterRelation, ofRelation, between, ofAnything, ofOthers].some((kinds) => kinds.has(kind));
}
