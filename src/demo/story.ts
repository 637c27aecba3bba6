import { commandLines, formatSeconds, pageWidth, shellWord, wrap } from './text-layout.ts';

/** One thing done in a step: what a learner would type, and what came of it. */
export interface Action {
  /** `shell` is a command line, `sql` is for the server. */
  readonly kind: 'shell' | 'sql';
  readonly command: string;
  readonly output: readonly string[];
  /** `null` for SQL. */
  readonly exitStatus: number | null;
  readonly seconds: number;
}

export interface Step {
  readonly number: number;
  readonly title: string;
  readonly why: string;
  readonly actions: readonly Action[];
  readonly seconds: number;
}

const indent = '    ';
const textWidth = pageWidth - indent.length;

/**
 * Tells a practice step by step while it happens, and remembers it: text for who reads along, records for
 * `--json`.
 */
export class Story {
  readonly steps: Step[] = [];
  readonly #print: (line: string) => void;
  readonly #now: () => Date;
  #title = '';
  #actions: Action[] = [];

  /** `print` takes a line; for `--json` it does nothing. */
  constructor(print: (line: string) => void, now: () => Date) {
    this.#print = print;
    this.#now = now;
  }

  /** What goes on now, for messages about what failed. */
  get currentStep(): string {
    return this.#title;
  }

  paragraph(text: string): void {
    for (const line of wrap(text, pageWidth)) this.#print(line);
    this.#print('');
  }

  async step(title: string, why: string, act: () => Promise<void>): Promise<void> {
    const number = this.steps.length + 1;
    this.#title = `step ${number}, ${title}`;
    this.#actions = [];
    this.#print(`${String(number).padStart(2)}. ${title}`);
    for (const line of wrap(why, textWidth)) this.#print(indent + line);
    this.#print('');
    const startedMs = this.#now().getTime();
    await act();
    this.#print('');
    this.steps.push({ number, title, why, actions: this.#actions, seconds: this.#secondsSince(startedMs) });
  }

  /** Shows the words of a command before it runs; what it answers with is shown after. */
  async shell<T extends { readonly exitStatus: number; readonly output: readonly string[] }>(
    words: readonly string[],
    run: () => Promise<T>,
  ): Promise<T> {
    const [first = '', ...rest] = commandLines(words, textWidth - 2);
    this.#print(`${indent}$ ${first}`);
    for (const line of rest) this.#print(`${indent}  ${line}`);
    const startedMs = this.#now().getTime();
    const result = await run();
    this.#record('shell', words.map(shellWord).join(' '), result.output, result.exitStatus, startedMs);
    return result;
  }

  /** Shows SQL, then what `answer` makes of its result. */
  async sql<T>(
    database: string,
    statement: string,
    run: () => Promise<T>,
    answer: (result: T) => readonly string[],
  ): Promise<T> {
    const [first = '', ...rest] = statement.split('\n');
    this.#print(`${indent}${database}=# ${first}`);
    for (const line of rest) this.#print(`${indent}${' '.repeat(database.length)}-# ${line.trim()}`);
    const startedMs = this.#now().getTime();
    const result = await run();
    this.#record('sql', statement, answer(result), null, startedMs);
    return result;
  }

  /** What is typed into a file: `cat > FILE`, and its lines. */
  typed(command: string, lines: readonly string[]): void {
    this.#print(`${indent}$ ${command}`);
    for (const line of lines) this.#print(`${indent}  ${line}`);
  }

  /** A remark between actions. */
  say(text: string): void {
    for (const line of wrap(text, textWidth)) this.#print(indent + line);
  }

  lines(lines: readonly string[]): void {
    for (const line of lines) this.#print(line === '' ? '' : indent + line);
  }

  #record(
    kind: Action['kind'],
    command: string,
    output: readonly string[],
    exitStatus: number | null,
    startedMs: number,
  ): void {
    const seconds = this.#secondsSince(startedMs);
    this.#actions.push({ kind, command, output, exitStatus, seconds });
    for (const line of withTime(output, seconds)) this.#print(`${indent}  ${line}`.trimEnd());
  }

  #secondsSince(startedMs: number): number {
    return (this.#now().getTime() - startedMs) / 1000;
  }
}

/** The time stands at the right of the last line, or below it where that is long. */
function withTime(output: readonly string[], seconds: number): string[] {
  const width = textWidth - 2;
  const time = formatSeconds(seconds);
  const last = output.at(-1) ?? 'done';
  if (last.length + 2 + time.length > width) return [...output, time.padStart(width)];
  return [...output.slice(0, -1), last.padEnd(width - time.length) + time];
}
