import { PgrecallError } from '../errors/pgrecall-error.ts';
import { backendType, decodeColumnNames, decodeRow, unexpectedMessage } from '../protocol/backend-message.ts';
import {
  decodeBackupPosition,
  decodeBackupTablespaces,
  decodeBaseBackupMessage,
  type BackupPosition,
  type BackupTablespace,
} from '../protocol/base-backup-message.ts';
import type { ResultSet } from '../protocol/replication-result.ts';
import { readResults } from './command-results.ts';
import type { ReplicationChannel } from './replication-channel.ts';
import { sqlStateOf } from './server-refusal.ts';

/*
 * A base backup under way, the same for every version: 15 and later send one copy whose messages say what they belong to, 14 one
 * copy for each tablespace and one for the manifest.
 */

export type BaseBackupPart =
  /** The archive of a tablespace begins; of the data directory, which comes last, where there is no oid. */
  | { readonly kind: 'archive'; readonly tablespaceOid: number | undefined }
  | { readonly kind: 'manifest' }
  /** Of the archive, or of the manifest. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array };

export interface EndedBaseBackup {
  readonly end: BackupPosition;
  /** Everything was sent, but the server had found pages with wrong checksums. */
  readonly wrongChecksums: boolean;
}

const command = 'BASE_BACKUP';
const waitMs = 60_000;
const dataCorrupted = 'XX001';

/** What came before copy data, or to the end of the command. */
interface Results {
  readonly results: readonly ResultSet[];
  readonly ended: boolean;
  readonly wrongChecksums: boolean;
}

export class BaseBackupStream {
  readonly #channel: ReplicationChannel;
  readonly #isOneCopy: boolean;
  /** In the order in which their archives come. */
  readonly tablespaces: readonly BackupTablespace[];
  readonly start: BackupPosition;
  #ended: EndedBaseBackup | undefined;

  private constructor(channel: ReplicationChannel, major: number, [start, tablespaces]: readonly ResultSet[]) {
    if (!start || !tablespaces) throw new PgrecallError('decode', 'the server’s answer to BASE_BACKUP lacks results');
    this.#channel = channel;
    this.#isOneCopy = major >= 15;
    this.start = decodeBackupPosition(start);
    this.tablespaces = decodeBackupTablespaces(tablespaces);
  }

  /** When the command has been sent. Throws what the server refuses with. */
  static async begin(channel: ReplicationChannel, major: number): Promise<BaseBackupStream> {
    const { results } = await readUntilCopy(channel);
    return new BaseBackupStream(channel, major, results);
  }

  /** How it ended, once all parts have been read. */
  get ended(): EndedBaseBackup {
    if (!this.#ended) throw new PgrecallError('bug', 'the end of a base backup that was not read to it');
    return this.#ended;
  }

  /** Everything that is sent. Throws `connection`, what the server reports, and the signal's reason. */
  async *parts(signal: AbortSignal): AsyncGenerator<BaseBackupPart> {
    const archives = this.tablespaces[Symbol.iterator]();
    if (!this.#isOneCopy) yield beginOf(archives);
    while (!this.#ended) {
      const messages = await this.#channel.takeAll(waitMs, signal);
      signal.throwIfAborted();
      const copied = messages.findIndex(({ type }) => type !== backendType.copyData);
      for (const { body } of copied < 0 ? messages : messages.slice(0, copied)) {
        const part = this.#partOf(body);
        if (part) yield part;
      }
      if (copied < 0) continue;
      this.#channel.putBack(messages.slice(copied));
      const after = await readUntilCopy(this.#channel);
      if (after.ended) this.#ended = endOf(after);
      else yield beginOf(archives);
    }
  }

  #partOf(body: Uint8Array): BaseBackupPart | undefined {
    if (!this.#isOneCopy) return { kind: 'data', bytes: body };
    const message = decodeBaseBackupMessage(body);
    switch (message.kind) {
      case 'archive': {
        const oid = /^(\d+)\.tar$/.exec(message.name)?.[1];
        return { kind: 'archive', tablespaceOid: oid === undefined ? undefined : Number(oid) };
      }
      case 'progress':
        return undefined;
      default:
        return message;
    }
  }
}

/** Version 14: the copies come in the order in which the tablespaces were listed, then that of the manifest. */
function beginOf(archives: Iterator<BackupTablespace>): BaseBackupPart {
  const next = archives.next();
  return next.done === true ? { kind: 'manifest' } : { kind: 'archive', tablespaceOid: next.value.oid };
}

function endOf({ results, wrongChecksums }: Results): EndedBaseBackup {
  const end = results.at(-1);
  if (!end) throw new PgrecallError('decode', 'the server ended the base backup without saying where');
  return { end: decodeBackupPosition(end), wrongChecksums };
}

/** Results up to where copy data begins, or up to the end of the command. */
async function readUntilCopy(channel: ReplicationChannel): Promise<Results> {
  const results: { columns: string[]; rows: (Uint8Array | undefined)[][] }[] = [];
  for (;;) {
    const message = await channel.take();
    const { type, body } = message;
    switch (type) {
      case backendType.copyOutResponse:
        return { results, ended: false, wrongChecksums: false };
      case backendType.rowDescription:
        results.push({ columns: decodeColumnNames(body), rows: [] });
        break;
      case backendType.dataRow:
        results.at(-1)?.rows.push(decodeRow(body));
        break;
      case backendType.commandComplete:
      case backendType.copyDone:
        break;
      case backendType.readyForQuery:
        return { results, ended: true, wrongChecksums: false };
      case backendType.errorResponse:
        channel.putBack([message]);
        await readRefusal(channel, results.length > 0);
        return { results, ended: true, wrongChecksums: true };
      default:
        unexpectedMessage(type, command);
    }
  }
}

/** The server says that it found wrong checksums when it has sent everything; anything else is thrown. */
async function readRefusal(channel: ReplicationChannel, isAtEnd: boolean): Promise<void> {
  try {
    await readResults(channel, command);
  } catch (error) {
    if (isAtEnd && sqlStateOf(error) === dataCorrupted) return;
    throw error;
  }
}
