/** So many lines from each end, and so much of each, are kept. */
const keptLines = 100;
const keptCharacters = 2000;

/** What a program says, in lines, as it comes in pieces; where it is much, the first ones and the last ones. */
export class SaidLines {
  readonly #onLine: (line: string) => void;
  readonly #isPassing: (line: string) => boolean;
  readonly #first: string[] = [];
  readonly #last: string[] = [];
  #rest = '';

  /** `isPassing`: lines that are neither told nor kept. */
  constructor(onLine: (line: string) => void, isPassing: (line: string) => boolean = () => false) {
    this.#onLine = onLine;
    this.#isPassing = isPassing;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, keptCharacters);
    for (const line of lines) this.#keep(line);
  }

  #keep(whole: string): void {
    const line = whole.slice(0, keptCharacters);
    if (line.trim() === '' || this.#isPassing(line)) return;
    this.#onLine(line);
    if (this.#first.length < keptLines) this.#first.push(line);
    else if (this.#last.push(line) > keptLines) this.#last.shift();
  }

  end(): readonly string[] {
    if (this.#rest !== '') this.#keep(this.#rest);
    this.#rest = '';
    return [...this.#first, ...this.#last];
  }
}
