import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errors/pgrecall-error.ts';
import { fields, integer, text } from '../repository/json-shape.ts';
import { checkLockHolder, systemProcesses, type LockHolder } from '../repository/lock-holder.ts';

/*
 * A load notes in the state directory where it goes, before it changes anything, and takes the note away when it has ended well.
 * So the next one can tell a database that somebody uses from one that a load has left half made, also where it was killed.
 */

export interface LoadNote {
  readonly holder: LockHolder;
  readonly dump: string;
  readonly startedAt: string;
  /** Of the target. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** 0 until it is made. */
  readonly oid: number;
}

const checkNote = fields({
  holder: checkLockHolder,
  dump: text(),
  startedAt: text(64),
  host: text(),
  port: integer(),
  database: text(),
  oid: integer(),
});

const prefix = 'load-';
const noteName = 'note.json';

/** The directory of one load: its note, and what it writes on its way. */
export class LoadPlace {
  readonly #directory: string;
  #note: LoadNote;
  #begun = false;

  private constructor(directory: string, note: LoadNote) {
    this.#directory = directory;
    this.#note = note;
  }

  static open(stateDirectory: string, note: Omit<LoadNote, 'holder'>): LoadPlace {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    const directory = mkdtempSync(join(realpathSync(stateDirectory), prefix));
    const place = new LoadPlace(directory, { ...note, holder: systemProcesses.self() });
    place.#write();
    return place;
  }

  /** From now on the database may be neither as it was nor complete. */
  begin(): void {
    this.#begun = true;
  }

  get begun(): boolean {
    return this.#begun;
  }

  /** The database has been made. */
  targetIs(oid: number): void {
    this.#note = { ...this.#note, oid };
    this.#write();
  }

  /** An empty directory that nobody else can look into; the same one whenever it is asked for. */
  temporaryDirectory(): string {
    const path = filesOf(this.#directory);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** The database is complete, or as it was: nothing of the load is left. */
  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** The database is incomplete: the note stays. */
  leave(): void {
    rmSync(filesOf(this.#directory), { recursive: true, force: true });
  }

  #write(): void {
    writeFileSync(join(this.#directory, noteName), JSON.stringify(this.#note), { mode: 0o600 });
  }
}

/** What earlier loads into this database have noted and not taken away; `isLoading`: one of them still goes on. */
export interface EarlierLoad {
  readonly note: LoadNote;
  readonly isLoading: boolean;
  readonly forget: () => void;
}

/** Also removes what loads that were killed have left of their files. */
export function findEarlierLoads(
  stateDirectory: string,
  target: Pick<LoadNote, 'host' | 'port' | 'database'>,
): readonly EarlierLoad[] {
  return listPlaces(stateDirectory).flatMap((directory) => {
    const note = readNote(directory);
    if (!note) return [];
    const state = systemProcesses.stateOf(note.holder);
    const isLoading = state === 'alive';
    if (state === 'dead') rmSync(filesOf(directory), { recursive: true, force: true });
    if (note.host !== target.host || note.port !== target.port || note.database !== target.database) return [];
    return [{ note, isLoading, forget: () => rmSync(directory, { recursive: true, force: true }) }];
  });
}

function listPlaces(stateDirectory: string): string[] {
  try {
    return readdirSync(stateDirectory)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(stateDirectory, name));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Undefined for one that is not there, or half written: that load had changed nothing yet. */
function readNote(directory: string): LoadNote | undefined {
  try {
    const note: unknown = JSON.parse(readFileSync(join(directory, noteName), 'utf8'));
    return checkNote(note, 'note') === undefined ? (note as LoadNote) : undefined;
  } catch {
    return undefined;
  }
}

function filesOf(directory: string): string {
  return join(directory, 'files');
}
