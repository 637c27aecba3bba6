/*
 * The options of the configuration, as data: name, where it may stand, and what it means. The same table
 * serves the file, the environment (PGRECALL_<NAME>) and the command line.
 */

export interface OptionDefinition {
  /** As in the file. */
  readonly name: string;
  readonly scope: 'top' | 'cluster' | 'both';
  readonly type: 'text' | 'number';
  readonly help: string;
}

export const optionDefinitions: readonly OptionDefinition[] = [
  { name: 'repository', scope: 'both', type: 'text', help: 'directory of the repository' },
  { name: 'passphrase_file', scope: 'both', type: 'text', help: 'file with the passphrase of an encrypted repository' },
  { name: 'passphrase_command', scope: 'both', type: 'text', help: 'command that prints the passphrase' },
  {
    name: 'state_directory',
    scope: 'both',
    type: 'text',
    help: 'where acknowledgements and received WAL are kept on this machine',
  },
  { name: 'jobs', scope: 'both', type: 'number', help: 'worker threads; the number of cores unless set' },
  { name: 'connection', scope: 'cluster', type: 'text', help: 'how to reach the server: a URI, or key=value words' },
  { name: 'data_directory', scope: 'cluster', type: 'text', help: 'the cluster’s data directory on this machine' },
  { name: 'pg_bin', scope: 'cluster', type: 'text', help: 'directory of postgres and pg_ctl' },
  { name: 'slot', scope: 'cluster', type: 'text', help: 'replication slot of the receiver' },
];

export function definitionsFor(scope: 'top' | 'cluster'): readonly OptionDefinition[] {
  return optionDefinitions.filter((definition) => definition.scope === scope || definition.scope === 'both');
}

/** The known word that is nearest to a mistyped one, if any is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: distance(word, candidate) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
