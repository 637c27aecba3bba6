/* How the demo's text is laid out: plain characters only, so that it reads the same in a terminal, a file and a pipe. */

export const pageWidth = 100;

/** Lines of at most `width` characters, broken between words. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return line === '' ? lines : [...lines, line];
}

/** A command as it is typed; a long one goes on in further lines, each with one option or more. */
export function commandLines(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  let line = '';
  // An option stays with its value.
  for (const group of groupOptions(words)) {
    if (line !== '' && line.length + 1 + group.length > width - 2) {
      lines.push(`${line} \\`);
      line = `    ${group}`;
    } else {
      line = line === '' ? group : `${line} ${group}`;
    }
  }
  return [...lines, line];
}

function groupOptions(words: readonly string[]): string[] {
  const groups: string[] = [];
  words.forEach((word, i) => {
    const before = words[i - 1];
    const value = before !== undefined && /^--?[a-z]/.test(before) && !word.startsWith('-');
    if (value) groups.push(`${groups.pop() ?? ''} ${shellWord(word)}`);
    else groups.push(shellWord(word));
  });
  return groups;
}

/** In quotes where the shell would otherwise read more than one word in it. */
export function shellWord(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** `0.4 s`; below a tenth `12 ms`. */
export function formatSeconds(seconds: number): string {
  return seconds < 0.1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** Columns of equal width under a heading and a rule; a column without a heading has none. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('   ')
      .trimEnd(),
  );
  const rule = widths.map((width, i) => (rows[0]?.[i] === '' ? '' : '-'.repeat(width))).join('   ');
  return [...lines.slice(0, 1), rule.trimEnd(), ...lines.slice(1)];
}
