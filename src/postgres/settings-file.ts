/*
 * postgresql.conf, after utils/misc/guc-file.l: `name = value` or `name value` a line, `#` begins a comment; a value between
 * single quotes has quotes doubled and backslashes as in C.
 * https://www.postgresql.org/docs/18/config-setting.html#CONFIG-SETTING-CONFIGURATION-FILE
 */

export interface SettingLine {
  /** In lower case: PostgreSQL does not distinguish. `include`, `include_if_exists` and `include_dir` among them. */
  readonly name: string;
  readonly value: string;
  /** Index of its line in the text, from 0. */
  readonly line: number;
}

const linePattern =
  /^\s*([A-Za-z_\u0080-\uffff][\w$.\u0080-\uffff]*)(?:\s*=\s*|\s+)(?:'((?:[^'\\\n]|\\.|'')*)'|([^\s'#]+))\s*(?:#.*)?\r?$/;

/** The settings of a file in order; lines that PostgreSQL would refuse are passed over. */
export function parseSettings(text: string): SettingLine[] {
  const found: SettingLine[] = [];
  for (const [line, content] of text.split('\n').entries()) {
    const [, name, quoted, plain] = linePattern.exec(content) ?? [];
    if (name === undefined) continue;
    found.push({ name: name.toLowerCase(), value: quoted === undefined ? (plain ?? '') : unescape(quoted), line });
  }
  return found;
}

const letters: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

function unescape(quoted: string): string {
  return quoted.replaceAll(/''|\\([0-7]{1,3})|\\(.)/g, (all, octal?: string, character?: string) => {
    if (all === "''") return "'";
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
    return letters[character ?? ''] ?? character ?? '';
  });
}
