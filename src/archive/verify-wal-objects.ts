import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { release } from '../repository/compression.ts';
import { parseSegmentName } from '../postgres/segment-name.ts';
import { indexSegment } from '../wal/index-segment.ts';
import { encodeSegmentIndex } from '../wal/segment-index-codec.ts';
import { checkSegment, checkSegmentSize } from './check-segment.ts';
import type { VerifiedWalObjects, VerifyWalTask, WalDamage } from './verify-wal-items.ts';
import { formatLog, parseWalObjectName, type WalObjectName } from './wal-keys.ts';
import type { WalStore } from './wal-store.ts';

/** A segment's backup label as PostgreSQL archives it; nothing comes near this. */
const maxTextBytes = 16_777_216;

/**
 * Reads objects of a log's folder back: each is decrypted, has the SHA-256 that its name says, is of this cluster
 * and place, and its index says what its WAL says. Damage is an answer here, not a failure: the rest goes on being
 * read.
 */
export async function verifyWalObjects(store: WalStore, task: VerifyWalTask): Promise<VerifiedWalObjects> {
  const found = { bytes: 0, damage: [] as WalDamage[] };
  for (const name of task.names) {
    const parsed = parseWalObjectName(name);
    const what = parsed?.segment ?? name;
    const bytes = await orDamage(found.damage, { task, name: what, what: 'content' }, async () =>
      unlessGone(async () => readContent(store, task, name, parsed)),
    );
    found.bytes += bytes?.length ?? 0;
    if (bytes === undefined || parsed?.kind !== 'segment') continue;
    await orDamage(found.damage, { task, name: what, what: 'index' }, async () =>
      compareIndex(store, parsed.segment, bytes),
    );
    // Not where it is a part of what is stored.
    if (bytes.length === bytes.buffer.byteLength) release(bytes);
  }
  for (const name of task.indexes) {
    await orDamage(found.damage, { task, name, what: 'index' }, async () => readIndex(store, name));
  }
  if (task.rolledUp) {
    const name = `${formatLog(task.log)}.log`;
    await orDamage(found.damage, { task, name, what: 'index' }, async () =>
      unlessGone(async () => readRolledUp(store, task)),
    );
  }
  return found;
}

/** What was listed and is no longer there was removed meanwhile: expired, or replaced by something longer. */
async function unlessGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (hasCode(error, 'object-missing')) return undefined;
    throw error;
  }
}

async function readIndex(store: WalStore, name: string): Promise<void> {
  const parsed = parseSegmentName(name, store.segmentBytes);
  await store.index.read(parsed);
  await store.index.readSummary(parsed);
}

async function readRolledUp(store: WalStore, { timeline, log }: VerifyWalTask): Promise<void> {
  const last = store.keys.segmentsPerLog - 1;
  for await (const index of store.index.readLog(timeline, log, 0, last)) void index;
}

async function readContent(
  store: WalStore,
  task: VerifyWalTask,
  name: string,
  parsed: WalObjectName | undefined,
): Promise<Uint8Array> {
  const key = `${store.keys.logFolder(task.timeline, task.log)}/${name}`;
  if (!parsed) return store.cluster.getSealed(key, maxTextBytes);
  await checkDigest(store, key, parsed);
  const bytes = await store.cluster.getSealed(key, store.segmentBytes);
  if (parsed.kind === 'segment') checkSegmentSize(parsed.segment, bytes.length, store.incarnation);
  checkSegment(parsed.segment, parseSegmentName(parsed.segment, store.segmentBytes), bytes, store.incarnation);
  return bytes;
}

/** Throws `object-damaged` where the object's name is that of another content. */
async function checkDigest(store: WalStore, key: string, parsed: WalObjectName): Promise<void> {
  const reader = await store.cluster.openSealed(key);
  try {
    const digest = await reader.contentDigest();
    if (digest === parsed.digest) return;
    throw new PgrecallError('object-damaged', `"${store.cluster.keyOf(key)}" has content of the digest ${digest}`, {
      details: { key, found: digest, expected: parsed.digest },
    });
  } finally {
    await reader.close();
  }
}

/** Throws `object-damaged` where the index, if there is one, says something else than the WAL. */
async function compareIndex(store: WalStore, name: string, bytes: Uint8Array): Promise<void> {
  const parsed = parseSegmentName(name, store.segmentBytes);
  const stored = await store.index.read(parsed);
  if (!stored) return;
  await store.index.readSummary(parsed);
  const fresh = encodeSegmentIndex(indexSegment(bytes));
  if (Buffer.compare(fresh, encodeSegmentIndex(stored)) !== 0) {
    throw new PgrecallError('object-damaged', `the index of segment ${name} says something else than its WAL`);
  }
}

/** What does not come back as it was written, and what cannot be read at all. */
export async function orDamage<T>(
  damage: WalDamage[],
  at: { readonly task: Pick<VerifyWalTask, 'timeline'>; readonly name: string; readonly what: WalDamage['what'] },
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const isDamage = error instanceof PgrecallError && (error.exitStatus === 3 || otherDamage.has(error.code));
    if (!isDamage) throw error;
    damage.push({ timeline: at.task.timeline, name: at.name, what: at.what, code: error.code, message: error.message });
    return undefined;
  }
}

const otherDamage: ReadonlySet<string> = new Set(['storage', 'wal-other-cluster', 'wal-other-content', 'wal-name']);
