import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import type { ServerReport } from '../protocol/backend-message.ts';

/** Codes by SQLSTATE, or by its first two characters (its class). */
const codes: Readonly<Record<string, ErrorCode>> = {
  '08': 'connection',
  '28': 'connection',
  '42501': 'server-rights',
  // admin_shutdown, crash_shutdown, cannot_connect_now
  '57': 'connection',
  '53': 'connection',
  '3D': 'connection',
};

/**
 * An error that the server reported, as one of ours: `server-refused` unless its SQLSTATE says better;
 * `details.sqlState` is for who knows what to do about it.
 */
export function serverRefusal(report: ServerReport, doing: string): PgrecallError {
  const code = codes[report.sqlState] ?? codes[report.sqlState.slice(0, 2)] ?? 'server-refused';
  const detail = report.detail === undefined ? '' : ` (${report.detail})`;
  return new PgrecallError(code, `${doing}: the server says: ${report.message}${detail}`, {
    ...(report.hint === undefined ? {} : { hint: report.hint }),
    details: { sqlState: report.sqlState, serverMessage: report.message },
  });
}

/** The SQLSTATE of an error that `serverRefusal` made. */
export function sqlStateOf(error: unknown): string | undefined {
  if (!(error instanceof PgrecallError)) return undefined;
  const state = error.details['sqlState'];
  return typeof state === 'string' ? state : undefined;
}
