import type { WalStore } from '../archive/wal-store.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { formatHistoryName } from '../postgres/segment-name.ts';
import { parseHistory, type TimelineHistory } from '../postgres/timeline-history.ts';
import type { Timeline } from '../postgres/timeline.ts';
import { unfitness } from './choose-reference-plan.ts';
import type { CopyReference } from './copy-files.ts';
import { gatherEvidence } from './gather-evidence.ts';
import { readLocalWal } from './local-wal.ts';
import type { BuiltOn } from './make-record.ts';
import type { Prepared } from './reference.ts';

/** What a backup that has begun builds on, and how it tells what is unchanged. */
export interface Basis {
  readonly copy: CopyReference | undefined;
  readonly built: BuiltOn;
}

export interface BegunBackup {
  readonly prepared: Prepared;
  readonly store: WalStore;
  readonly dataDirectory: string;
  readonly timeline: Timeline;
  readonly startLsn: Lsn;
  /** Of the checkpoint whose redo begins there, where it is known. */
  readonly checkpointLsn: Lsn | undefined;
  /** Up to where pg_wal has whole WAL. */
  readonly writtenLsn: () => Promise<Lsn>;
  readonly dataChecksums: boolean;
  readonly walTimeoutMs: number;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export async function findBasis(begun: BegunBackup): Promise<Basis> {
  const { prepared, store, dataDirectory } = begun;
  const { reference, type, instead } = prepared;
  if (!reference) {
    return { copy: undefined, built: { evidence: 'all', ...(instead === undefined ? {} : { fallback: instead }) } };
  }
  const { record, manifest } = reference;
  const badPages = new Map(record.badPages.map(({ path, blocks }) => [path, blocks]));
  const copyOf = (evidence: CopyReference['evidence']): CopyReference => ({
    entries: manifest.entries(),
    evidence,
    badPages,
  });
  // A full backup reads everything, whatever is known.
  if (type === 'full') return { copy: copyOf({ kind: 'sums' }), built: { reference: record.id, evidence: 'sums' } };
  const history = await readHistoryOf(store, dataDirectory, begun.timeline);
  const unfit = unfitness(record, { ...begun, history });
  const { evidence, fallback } = await gatherEvidence({ ...begun, reference, unfit, history });
  return {
    copy: copyOf(evidence),
    built: { reference: record.id, evidence: evidence.kind, ...(fallback === undefined ? {} : { fallback }) },
  };
}

/** From where the server has it, else from the archive; without parents where neither has it. */
export async function readHistoryOf(store: WalStore, dataDirectory: string, of: Timeline): Promise<TimelineHistory> {
  const name = formatHistoryName(of);
  const bytes = readLocalWal(dataDirectory, name) ?? (await store.getHistory(name));
  return bytes ? parseHistory(Buffer.from(bytes).toString('utf8'), of) : { timeline: of, parents: [] };
}
