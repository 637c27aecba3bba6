/*
 * What `pg_restore --verbose` says, in English: what it does now, and what went wrong. After src/bin/pg_dump/pg_backup_archiver.c
 * (warn_or_exit_horribly, restore_toc_entry).
 */

/** One object that could not be loaded. */
export interface RestoreFailure {
  readonly message: string;
  /** `TABLE public film clerk`, as its table of contents has it; of several connections possibly its neighbour. */
  readonly entry: string | undefined;
}

export interface RestoreLinesOptions {
  /** An object that is made or filled now, and how many that makes. */
  readonly onObject: (done: number, what: string) => void;
  /** Lines of errors and warnings, as far as they are shown. */
  readonly onLine: (line: string) => void;
}

/** So many errors are shown, and kept. */
const shownErrors = 20;
const keptErrors = 100;

export class RestoreLines {
  readonly failures: RestoreFailure[] = [];
  readonly #options: RestoreLinesOptions;
  #objects = 0;
  #errors = 0;
  #isComplete = false;
  #entry: string | undefined;
  /** A name may have line ends: what follows belongs to the line before. */
  #insideProgress = false;
  /** An error that may be none: the command that it is about follows. */
  #held: { readonly line: string; readonly setting: string } | undefined;
  readonly #unknownSettings = new Set<string>();

  constructor(options: RestoreLinesOptions) {
    this.#options = options;
  }

  /** Errors that it has told of. */
  get errors(): number {
    return this.#errors + (this.#held ? 1 : 0);
  }

  /** Whether it came to its end with nothing wrong but settings of its own that the server does not know. */
  get onlyUnknownSettings(): boolean {
    return this.#isComplete && this.errors === 0 && this.#unknownSettings.size > 0;
  }

  /** Whether the line tells of progress, and need not be kept. */
  take(line: string): boolean {
    if (this.#held) return this.#decide(this.#held, line);
    const said = /^pg_restore: (?<text>.*)$/s.exec(line)?.groups?.['text'];
    if (said === undefined) {
      if (!this.#insideProgress) this.#show(line);
      return this.#insideProgress;
    }
    this.#insideProgress = false;
    const setting = /^error: .*: unrecognized configuration parameter "(\w+)"$/.exec(said.replaceAll(/ +/g, ' '))?.[1];
    if (setting !== undefined) {
      this.#held = { line, setting };
      return true;
    }
    const entry = /^from TOC entry \d+; \d+ \d+ (.*?) ?$/.exec(said)?.[1];
    const problem = /^(?:error|warning|detail|hint): (.*)$/s.exec(said)?.[1];
    if (entry !== undefined) this.#entry = entry;
    else if (said.startsWith('error: ')) this.#fail(problem ?? '');
    else if (problem === undefined && !said.startsWith('while ')) return this.#progress(said);
    this.#isComplete ||= said.includes('errors ignored on restore: ');
    this.#show(line);
    return false;
  }

  /** What a newer pg_restore sets before it begins is for its own good, and no object fails without it. */
  #decide({ line: error, setting }: { readonly line: string; readonly setting: string }, command: string): boolean {
    this.#held = undefined;
    if (command.startsWith(`Command was: SET ${setting} = `)) {
      if (!this.#unknownSettings.has(setting))
        this.#options.onLine(`the server does not know the setting ${setting}: it goes without`);
      this.#unknownSettings.add(setting);
      return true;
    }
    this.#fail(error.replace(/^pg_restore: error: /, ''));
    this.#show(error);
    return this.take(command);
  }

  #fail(message: string): void {
    this.#errors += 1;
    if (this.failures.length < keptErrors) this.failures.push({ message, entry: this.#entry });
    if (this.#errors === shownErrors + 1) this.#options.onLine('further errors are counted, and not shown');
  }

  #show(line: string): void {
    if (this.#errors <= shownErrors) this.#options.onLine(line);
  }

  #progress(said: string): true {
    this.#insideProgress = true;
    const what = /^creating (.*)$/.exec(said)?.[1] ?? /^processing data for (.*)$/.exec(said)?.[1];
    if (what !== undefined || said.startsWith('executing ')) {
      this.#objects += 1;
      this.#options.onObject(this.#objects, what ?? said.slice('executing '.length));
    }
    return true;
  }
}
