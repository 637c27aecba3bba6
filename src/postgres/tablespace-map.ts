import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * tablespace_map, after access/transam/xlog.c (do_pg_backup_start) and xlogrecovery.c (read_tablespace_map):
 * "oid path" a line; a backslash before newline, carriage return and backslash in a path.
 */
export interface TablespaceLink {
  readonly oid: number;
  readonly path: string;
}

export function parseTablespaceMap(text: string): TablespaceLink[] {
  const links: TablespaceLink[] = [];
  let line = '';
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i];
    if (character === '\\' && i + 1 < text.length) {
      i += 1;
      line += text[i];
    } else if (character === '\n' || character === '\r') {
      if (line !== '') links.push(parseLine(line));
      line = '';
    } else {
      line += character;
    }
  }
  if (line !== '') links.push(parseLine(line));
  return links;
}

function parseLine(line: string): TablespaceLink {
  const match = /^(\d+) ([\s\S]+)$/.exec(line);
  if (!match) throw new PgrecallError('decode', `tablespace_map: cannot read "${line}"`);
  return { oid: Number(match[1]), path: match[2] ?? '' };
}

export function formatTablespaceMap(links: readonly TablespaceLink[]): string {
  return links.map(({ oid, path }) => `${oid} ${path.replaceAll(/[\\\n\r]/g, (c) => `\\${c}`)}\n`).join('');
}
