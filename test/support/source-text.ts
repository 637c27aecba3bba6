/*
 * TypeScript sources as the architecture test looks at them: the code without its comments and texts, and what it imports. A
 * scanner of the few forms that hide others (comments, texts, templates, regular expressions) is enough for that.
 */

/** One import, or re-export, of a module. */
export interface Import {
  /** As written: `./lsn.ts`, `node:fs`. */
  readonly specifier: string;
  /** What is imported by name; empty for the whole module. */
  readonly names: readonly string[];
  /** Whether it is gone when the program runs. */
  readonly typesOnly: boolean;
}

export interface SourceFile {
  /** From the root of the project: `src/postgres/lsn.ts`. */
  readonly path: string;
  readonly text: string;
}

const importPattern =
  /\b(?:import|export)\s+(?<type>type\s+)?(?:(?<clause>[\w$*{}\s,]+?)\s+from\s+)?'(?<from>[^'\n]+)'|\bimport\s*\(\s*'(?<dynamic>[^'\n]+)'/g;

export function importsOf(text: string): readonly Import[] {
  const code = withoutComments(text);
  return [...code.matchAll(importPattern)].map(({ groups = {} }) => ({
    specifier: groups['from'] ?? groups['dynamic'] ?? '',
    names: namesIn(groups['clause'] ?? ''),
    typesOnly: groups['type'] !== undefined,
  }));
}

/** `{ a, type B as C }` → a, B */
function namesIn(clause: string): readonly string[] {
  const braces = /\{([^}]*)\}/.exec(clause)?.[1] ?? '';
  return braces
    .split(',')
    .map(
      (part) =>
        part
          .trim()
          .replace(/^type\s+/, '')
          .split(/\s+as\s+/)[0] ?? '',
    )
    .filter((name) => name !== '');
}

/** Comments become blanks; texts stay. */
function withoutComments(text: string): string {
  return scan(text, (kind, part) => (kind === 'comment' ? blank(part) : part));
}

/** Only code: comments, texts and regular expressions become blanks, code inside templates stays. */
export function codeOnly(text: string): string {
  return scan(text, (kind, part) => (kind === 'code' ? part : blank(part)));
}

function blank(part: string): string {
  return part.replaceAll(/[^\n]/g, ' ');
}

type Kind = 'code' | 'comment' | 'text' | 'regex';

/** Tried in this order; a slash begins a regular expression only where an operand can stand. */
const forms: readonly (readonly [Kind, RegExp])[] = [
  ['comment', /\/\/[^\n]*|\/\*[^]*?\*\//y],
  ['text', /'(?:[^'\\\n]|\\[^])*'|"(?:[^"\\\n]|\\[^])*"/y],
  ['regex', /\/(?![*/])(?:[^\\/[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y],
];
const beforeOperand = /(?:^|[=(,:;!&|?{}[+\-*%<>~^]|\b(?:return|typeof|case|in|of|await|yield))\s*$/;
/** From a backtick, or the brace that ends an expression inside, to the next expression or the end. */
const templatePart = /[`}](?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{)?/y;
const codeRun = /[^'"`/{}]+/y;

function scan(text: string, put: (kind: Kind, part: string) => string): string {
  let out = '';
  /** The code before, where texts stand as `x`. */
  let before = '';
  /** For each template that is open, how many braces are open in its current expression. */
  const templates: number[] = [];
  const takeAt = (pattern: RegExp, at: number): string => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0] ?? '';
  };
  const next = (at: number): readonly [Kind, string] => {
    const character = text[at] ?? '';
    if (character === '`' || (character === '}' && templates.at(-1) === 0)) {
      const part = takeAt(templatePart, at);
      if (character === '}') templates.pop();
      if (part.endsWith('${')) templates.push(0);
      return ['text', part];
    }
    for (const [kind, pattern] of forms) {
      const part = takeAt(pattern, at);
      if (part !== '' && (kind !== 'regex' || beforeOperand.test(before))) return [kind, part];
    }
    const open = templates.length - 1;
    if (open >= 0) templates[open] = (templates[open] ?? 0) + (character === '{' ? 1 : character === '}' ? -1 : 0);
    return ['code', takeAt(codeRun, at) || character];
  };
  for (let at = 0; at < text.length;) {
    const [kind, part] = next(at);
    out += put(kind, part);
    at += part.length;
    if (kind !== 'comment') before = (before + (kind === 'code' ? part : 'x')).slice(-20);
  }
  return out;
}
