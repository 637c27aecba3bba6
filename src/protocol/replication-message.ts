import { BoundedReader } from '../bytes/bounded-reader.ts';
import { ByteWriter } from '../bytes/byte-writer.ts';
import { lsn, type Lsn } from '../postgres/lsn.ts';
import { describeType } from './message-framer.ts';

/*
 * What travels inside CopyData while WAL is streamed, after
 * https://www.postgresql.org/docs/current/protocol-replication.html (START_REPLICATION).
 * Integers are big-endian; times are microseconds since 2000-01-01 00:00 UTC.
 *
 *   XLogData                        keepalive                     standby status update (ours)
 *   'w'                             'k'                           'r'
 *   Int64 start of this WAL         Int64 end of the server's     Int64 written up to
 *   Int64 end of the server's WAL   Int64 its clock               Int64 flushed up to
 *   Int64 its clock                 Byte1 1 = reply at once       Int64 applied up to
 *   the WAL                                                       Int64 our clock
 *                                                                 Byte1 1 = reply at once
 */

export interface WalData {
  readonly kind: 'wal';
  /** Where in WAL `bytes` begin. */
  readonly startLsn: Lsn;
  /** How far the server's own WAL went when it sent this. */
  readonly serverEndLsn: Lsn;
  readonly serverTime: bigint;
  /** A view of the message. */
  readonly bytes: Uint8Array;
}

export interface Keepalive {
  readonly kind: 'keepalive';
  readonly serverEndLsn: Lsn;
  readonly serverTime: bigint;
  readonly replyRequested: boolean;
}

/** Decodes the payload of a CopyData of a WAL stream. Throws `decode`. */
export function decodeReplicationMessage(payload: Uint8Array): WalData | Keepalive {
  const reader = new BoundedReader(payload, 'a message of the WAL stream');
  const type = reader.u8();
  if (type === 0x77) {
    const startLsn = lsn(reader.u64BE());
    const serverEndLsn = lsn(reader.u64BE());
    const serverTime = BigInt.asIntN(64, reader.u64BE());
    return { kind: 'wal', startLsn, serverEndLsn, serverTime, bytes: reader.bytes(reader.remaining) };
  }
  if (type === 0x6b) {
    const serverEndLsn = lsn(reader.u64BE());
    const serverTime = BigInt.asIntN(64, reader.u64BE());
    const replyRequested = reader.u8() !== 0;
    reader.end();
    return { kind: 'keepalive', serverEndLsn, serverTime, replyRequested };
  }
  return reader.fail(`expected 'w' or 'k', found ${describeType(type)}`);
}

export interface StatusUpdate {
  readonly writtenLsn: Lsn;
  /** What the server may rely on: it releases its own copy and the synchronous commits that wait. */
  readonly flushedLsn: Lsn;
  /** 0/0 for who does not replay WAL. */
  readonly appliedLsn: Lsn;
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  /** Asks the server for a keepalive, to find out whether it still is there. */
  readonly replyRequested: boolean;
}

/** The payload of a CopyData. */
export function encodeStatusUpdate(status: StatusUpdate): Buffer {
  return new ByteWriter(34)
    .u8(0x72)
    .u64BE(status.writtenLsn)
    .u64BE(status.flushedLsn)
    .u64BE(status.appliedLsn)
    .u64BE(BigInt.asUintN(64, status.time))
    .u8(status.replyRequested ? 1 : 0)
    .finish();
}
