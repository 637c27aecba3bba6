import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { BackupRecord } from '../repository/backup-record.ts';
import { claimReferences, type HeldClaim } from '../repository/claim.ts';
import type { ClusterRepository } from '../repository/cluster-repository.ts';
import type { DumpFormat } from '../repository/dump-facts.ts';
import { ExtentReader } from '../repository/extent-reader.ts';
import type { Extent } from '../repository/file-map.ts';
import type { LockOptions } from '../repository/lock.ts';
import { chunkDigestBytes, entryFlags } from '../repository/manifest.ts';
import { KnownChunks } from './known-chunks.ts';
import type { EarlierChunks, StoredChunk } from './storing.ts';

/** What earlier dumps of the same databases have stored, claimed for as long as it is built on. */
export interface EarlierDumps extends EarlierChunks, AsyncDisposable {
  /** The newest of them. */
  readonly reference: string | undefined;
}

/**
 * Of each database the newest dump, and the newest in the same format. The claim is there even where there is none:
 * it protects what is stored before the record is. What of them cannot be read is stored anew. Throws what writing the
 * claim throws.
 */
export async function openEarlierDumps(
  cluster: ClusterRepository,
  id: string,
  wanted: { readonly oids: readonly number[]; readonly format: DumpFormat; readonly independent: boolean },
  lock: LockOptions,
): Promise<EarlierDumps> {
  for (;;) {
    const backups = wanted.independent ? [] : await cluster.listBackups({ onDamaged: () => undefined });
    const chosen = chooseEarlier(backups, wanted.oids, wanted.format);
    let claim: HeldClaim;
    try {
      const references = [...new Set(chosen.map(({ record }) => record.id))];
      claim = await claimReferences(cluster, id, references, lock);
    } catch (error) {
      if (hasCode(error, 'reference-expired')) continue;
      throw error;
    }
    const { known, chunks } = await readChunks(cluster, chosen);
    const reference = chosen
      .map(({ record }) => record.id)
      .toSorted()
      .at(-1);
    return { known, chunks, reference, [Symbol.asyncDispose]: async () => claim[Symbol.asyncDispose]() };
  }
}

/** A dump, and the folders of its manifest that are of use. */
export interface EarlierDump {
  readonly record: BackupRecord;
  readonly oids: ReadonlySet<number>;
}

/** `backups`: oldest first. */
function chooseEarlier(backups: readonly BackupRecord[], oids: readonly number[], format: DumpFormat): EarlierDump[] {
  const chosen = new Map<BackupRecord, Set<number>>();
  for (const oid of oids) {
    const having = backups.filter(({ dump }) => dump?.databases.some((database) => database.oid === oid));
    // One of the schema alone has nothing that is worth the looking.
    const whole = having.filter(({ dump }) => dump?.content !== 'schema');
    // Rows read alike in all formats, what lies between them does not.
    for (const record of [whole.at(-1), whole.findLast(({ dump }) => dump?.format === format)]) {
      if (!record) continue;
      const there = chosen.get(record) ?? new Set();
      chosen.set(record, there.add(oid));
    }
  }
  return [...chosen].map(([record, of]) => ({ record, oids: of }));
}

async function readChunks(cluster: ClusterRepository, earlier: readonly EarlierDump[]): Promise<EarlierChunks> {
  const reader = new ExtentReader(cluster);
  const found: { readonly extents: readonly Extent[]; readonly digests: Uint8Array }[] = [];
  try {
    for (const { record, oids } of earlier) {
      await using manifest = await cluster.openManifest(record.id);
      for await (const entry of manifest.entries()) {
        if (!(entry.flags & entryFlags.chunkDigests) || !oids.has(Number(/^\d+/.exec(entry.path)?.[0]))) continue;
        const { extents, sums } = await entry.loadMaps();
        if (sums.length === 0) continue;
        found.push({ extents, digests: await readDigests(reader, sums, extents.length) });
      }
    }
  } catch (error) {
    // Damage is verify's to tell. What was found before it is of use.
    if (!(error instanceof PgrecallError)) throw error;
  } finally {
    await reader.close();
  }
  return numberChunks(found);
}

async function readDigests(reader: ExtentReader, sums: readonly Extent[], count: number): Promise<Uint8Array> {
  const digests = new Uint8Array(count * chunkDigestBytes);
  await reader.read(sums, (bytes, { fileOffset }) => digests.set(bytes, fileOffset));
  return digests;
}

function numberChunks(
  found: readonly { readonly extents: readonly Extent[]; readonly digests: Uint8Array }[],
): EarlierChunks {
  const known = KnownChunks.withRoomFor(found.reduce((sum, { extents }) => sum + extents.length, 0));
  const chunks: StoredChunk[] = [];
  for (const { extents, digests } of found) {
    for (const [i, { pack, blob, lengthBytes }] of extents.entries()) {
      if (lengthBytes !== blob.plainBytes) continue;
      if (known.add(digests, i * chunkDigestBytes, chunks.length)) chunks.push({ pack, blob });
    }
  }
  return { known, chunks };
}
