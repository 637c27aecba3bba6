import { closeSync, constants, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { PgrecallError, isErrno } from '../errors/pgrecall-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { isSegmentName } from '../postgres/segment-name.ts';
import { release } from '../repository/compression.ts';
import { isCompressed } from '../repository/sealed-format.ts';
import type { SealedReader } from '../repository/sealed-reader.ts';
import type { WalStore } from './wal-store.ts';

/** Blobs of this much are read from the storage at once. */
const readAheadBytes = 8_388_608;

export interface FetchOptions {
  /** Where it is written first, on the same file system; beside `path` unless said. */
  readonly workingDirectory?: string;
  /** Of a segment: what lies behind this position in it is zeros, at which replay ends. */
  readonly untilLsn?: Lsn;
}

/**
 * Puts the file of that name to `path`, whole, by rename; false where the archive has none. Not synced: the server
 * does that for what it keeps. Throws `wal-name`, `wal-other-content`, `disk-full`, and what damage throws.
 */
export async function fetchFile(
  store: WalStore,
  name: string,
  path: string,
  options: FetchOptions = {},
): Promise<boolean> {
  const { workingDirectory = dirname(path), untilLsn } = options;
  const stored = isSegmentName(name) ? await store.findSegment(name) : undefined;
  const bytes = stored ? undefined : await store.get(name);
  if (!stored && !bytes) return false;
  // A name of this thread’s own: another one may be fetching the same, and neither may show what the other has half done.
  const temporary = join(workingDirectory, `${basename(path)}.pgrecall-${process.pid}-${threadId}`);
  const descriptor = openToWrite(temporary);
  try {
    if (stored) await copyBlobs(await store.cluster.openSealed(stored.key), descriptor, store.segmentBytes);
    else if (bytes) writeFully(descriptor, bytes, 0);
    if (untilLsn !== undefined)
      blankFrom(descriptor, Number(untilLsn % BigInt(store.segmentBytes)), store.segmentBytes);
    renameSync(temporary, path);
  } catch (error) {
    remove(temporary);
    throw asOurs(error, path);
  } finally {
    closeSync(descriptor);
  }
  return true;
}

async function copyBlobs(reader: SealedReader, descriptor: number, segmentBytes: number): Promise<void> {
  try {
    let position = 0;
    let readUntil = 0;
    for (const blob of await reader.blobs()) {
      if (blob.offset + blob.storedBytes > readUntil) {
        await reader.prefetch(blob.offset, Math.max(readAheadBytes, blob.storedBytes));
        readUntil = blob.offset + Math.max(readAheadBytes, blob.storedBytes);
      }
      const plain = await reader.read(blob);
      writeFully(descriptor, plain, position);
      position += plain.length;
      // Else it may be a part of what was read ahead.
      if (isCompressed(blob)) release(plain);
    }
    if (position !== segmentBytes) {
      throw new PgrecallError(
        'object-damaged',
        `"${reader.key}" holds ${position} bytes where segments have ${segmentBytes}`,
      );
    }
  } finally {
    await reader.close();
  }
}

function blankFrom(descriptor: number, offset: number, segmentBytes: number): void {
  writeFully(descriptor, new Uint8Array(segmentBytes - offset), offset);
}

function openToWrite(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
  } catch (error) {
    throw asOurs(error, path);
  }
}

function writeFully(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
  }
}

function asOurs(error: unknown, path: string): unknown {
  if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new PgrecallError('disk-full', `no space left to write "${path}"`, { cause: error });
  }
  if (error instanceof PgrecallError) return error;
  return new PgrecallError('io', `cannot write "${path}"`, { cause: error });
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The name tells whose it was; the next start clears it away.
  }
}
