import type { Contender, Site } from '../contenders/contender.ts';
import { changeSource } from '../source/change-set.ts';
import type { SourceCluster } from '../source/source-cluster.ts';
import type { Operation } from './result.ts';

/** What one contender's turn is played with. */
export interface IncrementsTurn {
  readonly contender: Contender;
  readonly site: Site;
  readonly source: SourceCluster;
  /** How many are taken before the last restore. */
  readonly increments: number;
  /** Another number for each change of the source. */
  readonly nextChange: () => number;
  /** A command that is measured, with the directories that should be in the page cache before. */
  readonly measure: (operation: Operation, command: string, cached: readonly string[]) => Promise<void>;
  /** A command that is not. */
  readonly run: (command: string) => Promise<void>;
  /** An empty directory. */
  readonly makeTarget: (name: string) => string;
  /** Compares with the source. */
  readonly check: (target: string) => void;
}

/**
 * What is only worth its time with its own WAL in its repository: so one contender after the other, each from a backup of
 * its own, while the source archives through it alone. The changes are of a size, but not the same.
 */
export async function playIncrements(turn: IncrementsTurn): Promise<void> {
  const { contender, site, source, measure, run, makeTarget, check } = turn;
  const { increments } = contender;
  if (!increments) return;
  const data = ['base', 'global'].map((name) => `${source.dataDirectory}/${name}`);
  await source.sql('SELECT pg_switch_wal()', 'CHECKPOINT');
  await run(contender.backup(site));
  const over = makeTarget('over');
  await run(contender.restore(site, over));

  await changeSource(source, turn.nextChange());
  await measure('increment', increments.backup(site), data);
  await measure('restoreOver', increments.restoreOver(site, over), [site.repository, over]);
  check(over);

  for (let taken = 1; taken < turn.increments; taken += 1) {
    await changeSource(source, turn.nextChange());
    await run(increments.backup(site));
  }
  const incremented = makeTarget('incremented');
  await measure('restoreIncrement', contender.restore(site, incremented), [site.repository]);
  check(incremented);

  await run(increments.independent(site));
  const full = makeTarget('full');
  await measure('restoreFull', contender.restore(site, full), [site.repository]);
  check(full);
}
