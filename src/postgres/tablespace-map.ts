import { PgrecallError } from '../errors/pgrecall-error.ts';

/*
 * tablespace_map, after access/transam/xlog.c (do_pg_backup_start) and xlogrecovery.c (read_tablespace_map):
 * "oid path" a line; a backslash before newline, carriage return and backslash in a path.
 */
export interface TablespaceLink {
  readonly oid: number;
  readonly path: string;
}

/** Throws `decode` where a line is not an oid and a path, or the last one has no end. */
export function parseTablespaceMap(text: string): TablespaceLink[] {
  const links: TablespaceLink[] = [];
  let line = '';
  let escaped = false;
  for (const character of text) {
    if (escaped) {
      line += character;
      escaped = false;
    } else if (character === '\\') {
      escaped = true;
    } else if (character === '\n' || character === '\r') {
      // empty: the second half of a line's end of two characters
      if (line !== '') links.push(parseLine(line));
      line = '';
    } else {
      line += character;
    }
  }
  if (line !== '' || escaped) throw new PgrecallError('decode', `tablespace_map: its last line is cut: "${line}"`);
  return links;
}

function parseLine(line: string): TablespaceLink {
  const match = /^([1-9]\d{0,9}) ([^]+)$/.exec(line);
  const oid = Number(match?.[1]);
  if (!match || oid > 0xffff_ffff) throw new PgrecallError('decode', `tablespace_map: cannot read "${line}"`);
  return { oid, path: match[2] ?? '' };
}

export function formatTablespaceMap(links: readonly TablespaceLink[]): string {
  return links.map(({ oid, path }) => `${oid} ${path.replaceAll(/[\\\n\r]/g, (c) => `\\${c}`)}\n`).join('');
}
