import type { PgrecallError } from '../errors/pgrecall-error.ts';
import {
  backendType,
  decodeColumnNames,
  decodeRow,
  decodeServerReport,
  unexpectedMessage,
} from '../protocol/backend-message.ts';
import type { ResultSet } from '../protocol/replication-result.ts';
import type { ReplicationChannel } from './replication-channel.ts';
import { serverRefusal } from './server-refusal.ts';

/** Everything up to ReadyForQuery: the results of one command, or the error that it ended with. */
export async function readResults(channel: ReplicationChannel, command: string): Promise<ResultSet[]> {
  const results: { columns: string[]; rows: (Uint8Array | undefined)[][] }[] = [];
  let refusal: PgrecallError | undefined;
  for (;;) {
    const { type, body } = await channel.take();
    switch (type) {
      case backendType.rowDescription:
        results.push({ columns: decodeColumnNames(body), rows: [] });
        break;
      case backendType.dataRow:
        results.at(-1)?.rows.push(decodeRow(body));
        break;
      case backendType.errorResponse: {
        const report = decodeServerReport(body);
        refusal = serverRefusal(report, firstWords(command));
        // After these no ReadyForQuery comes: the server ends the connection.
        if (report.severity === 'FATAL' || report.severity === 'PANIC') throw refusal;
        break;
      }
      case backendType.commandComplete:
      case backendType.emptyQuery:
      case backendType.copyDone:
      // WAL that was under way when we asked for the end of the stream.
      case backendType.copyData:
        break;
      case backendType.readyForQuery:
        if (refusal) throw refusal;
        return results;
      default:
        unexpectedMessage(type, firstWords(command));
    }
  }
}

function firstWords(command: string): string {
  return command.split(' ').slice(0, 2).join(' ');
}
