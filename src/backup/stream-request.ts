import type { BaseBackupStream } from '../connection/base-backup-stream.ts';
import type { ReplicationSession } from '../connection/replication-session.ts';
import { sqlStateOf } from '../connection/server-refusal.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { baseBackup, uploadManifest } from '../protocol/base-backup-command.ts';
import { unfitness } from './choose-reference-plan.ts';
import type { BuiltOn } from './make-record.ts';
import type { Prepared, Reference } from './reference.ts';
import { referenceManifest } from './reference-manifest.ts';
import type { StreamFacts } from './stream-server.ts';

/*
 * Asks for the files. For an increment the server gets the reference's manifest first. Where it has no account of all changes
 * since, or the reference is none of its past, it sends everything, and contents are compared.
 */

export interface StreamRequest {
  readonly session: ReplicationSession;
  readonly prepared: Prepared;
  readonly facts: StreamFacts;
  readonly history: TimelineHistory;
  readonly say: (text: string) => void;
}

export interface AskedBackup {
  readonly stream: BaseBackupStream;
  readonly built: BuiltOn;
}

/** object_not_in_prerequisite_state: what the server says of summaries that are missing, and of a reference that is not of its past. */
const unfitState = '55000';

export async function askForBackup(request: StreamRequest): Promise<AskedBackup> {
  const { session, prepared, facts, say } = request;
  const { reference, type, instead } = prepared;
  const label = `pgrecall ${prepared.id}`;
  const everything = async (): Promise<BaseBackupStream> =>
    session.baseBackup(baseBackup({ major: facts.major, label, incremental: false }), facts.major);
  const because = (fallback: string | undefined) => (fallback === undefined ? {} : { fallback });
  if (!reference) return { stream: await everything(), built: { evidence: 'all', ...because(instead) } };
  const byContents = (fallback: string | undefined): BuiltOn => ({
    reference: reference.record.id,
    evidence: 'sums',
    ...because(fallback),
  });
  if (type === 'full') return { stream: await everything(), built: byContents(instead) };
  const unfit = unfitness(reference.record, { ...request, ...facts, startLsn: facts.positionLsn });
  if (unfit !== undefined) return { stream: await everything(), built: byContents(unfit) };
  try {
    const stream = await askForIncrement(request, reference, label);
    return { stream, built: { reference: reference.record.id, evidence: 'server' } };
  } catch (error) {
    if (!(error instanceof Error) || sqlStateOf(error) !== unfitState) throw error;
    const reason = error.message.replace(/^.*the server says: /s, '');
    say(`the server sends everything: ${reason}`);
    return { stream: await everything(), built: byContents(`the server says: ${reason}`) };
  }
}

async function askForIncrement(
  { session, facts, say }: StreamRequest,
  reference: Reference,
  label: string,
): Promise<BaseBackupStream> {
  await session.upload(uploadManifest, referenceManifest(reference));
  say(`the server looks up what changed since ${reference.record.id}`);
  return session.baseBackup(baseBackup({ major: facts.major, label, incremental: true }), facts.major);
}
