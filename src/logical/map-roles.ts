import { nearest } from '../config/nearest.ts';
import { PgrecallError } from '../errors/pgrecall-error.ts';
import { findGrantedRoles } from './granted-roles.ts';
import type { LoadEntry } from './load-entry.ts';
import { quoteName } from './sql-words.ts';

/** Old names of roles to new ones. */
export type RoleMap = ReadonlyMap<string, string>;

/** From `--owner OLD=NEW`; either name may be in double quotes. Throws `usage`. */
export function parseRoleMap(words: readonly string[]): RoleMap {
  return new Map(
    words.map((word) => {
      const parts = /^(?<old>"(?:[^"]|"")+"|[^"=][^=]*)=(?<new>"(?:[^"]|"")+"|[^"].*)$/s.exec(word)?.groups;
      if (!parts?.['old'] || !parts['new']) {
        throw new PgrecallError('usage', `--owner "${word}": expected OLD=NEW`, {
          hint: 'names with = in them stand in double quotes',
        });
      }
      return [unquoted(parts['old']), unquoted(parts['new'])];
    }),
  );
}

/** Throws `object-unknown` for an old name that the dump does not have. */
export function checkRoleMap(roles: RoleMap, known: ReadonlySet<string>): void {
  for (const old of roles.keys()) {
    if (known.has(old)) continue;
    const near = nearest(old, [...known]);
    throw new PgrecallError(
      'object-unknown',
      `--owner "${old}=…": nothing in the dump belongs or is granted to "${old}"`,
      {
        ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
        details: { name: old, nearest: near ?? null },
      },
    );
  }
}

export function mapEntryRoles(entry: LoadEntry, roles: RoleMap): LoadEntry {
  const { owner, grantees } = entry;
  return {
    ...entry,
    owner: owner === undefined ? undefined : (roles.get(owner) ?? owner),
    grantees: grantees.map((name) => roles.get(name) ?? name),
  };
}

/** In what pg_dump writes of privileges and policies. */
export function mapGrantedRoles(sql: string, roles: RoleMap): string {
  let mapped = '';
  let at = 0;
  for (const { name, word } of findGrantedRoles(sql)) {
    const other = roles.get(name);
    if (other === undefined) continue;
    mapped += sql.slice(at, word.start) + quoteName(other);
    at = word.start + word.text.length;
  }
  return mapped + sql.slice(at);
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}
