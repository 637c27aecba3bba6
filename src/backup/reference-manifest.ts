import { BackupManifestWriter } from '../postgres/backup-manifest.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { systemIdentifier } from '../postgres/system-identifier.ts';
import { timeline } from '../postgres/timeline.ts';
import { entryFlags } from '../repository/manifest.ts';
import { encodePath } from '../repository/path-text.ts';
import type { Reference } from './reference.ts';

/** As much is sent at once. */
const partBytes = 65_536;

/**
 * The backup_manifest of a backup, for a server that is to send what changed since. Files of which no sums are known are left
 * out: the server then sends them whole.
 */
export async function* referenceManifest({ record, manifest }: Reference): AsyncGenerator<Uint8Array> {
  const writer = new BackupManifestWriter({
    postgresMajor: record.postgresMajor,
    systemIdentifier: systemIdentifier(record.systemIdentifier),
  });
  let text = '';
  for await (const { path, kind, flags, sizeBytes, modifiedMs, crc32c } of manifest.entries()) {
    if (kind !== 'file' || flags & entryFlags.chunkDigests) continue;
    const named = path.isWellFormed() ? path : encodePath(path);
    text += writer.addFile({ path: named, sizeBytes, lastModified: lastModified(modifiedMs), crc32c });
    if (text.length < partBytes) continue;
    yield Buffer.from(text);
    text = '';
  }
  const range = {
    timeline: timeline(record.timeline),
    startLsn: parseLsn(record.startLsn),
    endLsn: parseLsn(record.endLsn),
  };
  yield Buffer.from(text + writer.finish([range]));
}

function lastModified(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ')} GMT`;
}
