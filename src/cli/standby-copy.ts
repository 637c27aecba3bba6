import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { ClusterAccess } from './cluster-access.ts';
import type { CliContext } from './context.ts';
import type { FoundUpstream } from './standby-create-plan.ts';

/** Writes what the upstream sends as the data directory of a standby. */
export async function copyUpstream(
  _options: {
    readonly access: ClusterAccess;
    readonly upstream: FoundUpstream;
    readonly directory: string;
    readonly mappings: readonly string[];
    readonly settings: Readonly<Record<string, string>>;
  },
  _context: CliContext,
): Promise<void> {
  throw new PgrecallError('usage', '--from-primary is not there yet');
}
