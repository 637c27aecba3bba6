import { nameOf, sqlWords, type SqlWord } from './sql-words.ts';

/** The entries of a table of contents in whose definition roles are named. */
export const namingRoles: ReadonlySet<string> = new Set(['ACL', 'DEFAULT ACL', 'POLICY']);

/** After these a role is named, in what pg_dump writes of privileges and policies. */
const before = new Set(['TO', 'FROM', 'ROLE', 'AUTHORIZATION', 'USER']);
/** Where a role may stand these do, too. */
const pseudo = new Set(['PUBLIC', 'CURRENT_USER', 'SESSION_USER', 'CURRENT_ROLE', 'SESSION', 'DEFAULT', 'NONE']);

/** Where roles are named in GRANT, REVOKE, ALTER DEFAULT PRIVILEGES, CREATE POLICY and SET SESSION AUTHORIZATION. */
export function* findGrantedRoles(sql: string): Generator<{ readonly name: string; readonly word: SqlWord }> {
  // What stands in parentheses is columns, or what a policy asks.
  let depth = 0;
  let state: 'elsewhere' | 'expected' | 'found' = 'elsewhere';
  for (const word of sqlWords(sql)) {
    const name = nameOf(word);
    if (word.text === '(') depth += 1;
    else if (word.text === ')') depth -= 1;
    else if (depth > 0) continue;
    if (word.kind === 'word' && before.has(word.text)) {
      state = 'expected';
    } else if (state === 'expected' && name !== undefined) {
      state = 'found';
      if (word.kind === 'quoted' || !pseudo.has(word.text)) yield { name, word };
    } else {
      // Policies name several.
      state = state === 'found' && word.text === ',' ? 'expected' : 'elsewhere';
    }
  }
}
