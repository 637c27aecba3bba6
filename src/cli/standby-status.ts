import { PgrecallError } from '../errors/pgrecall-error.ts';
import type { RunCommand } from './command.ts';

/** `pgrecall standby status CLUSTER`. */
export const runStandbyStatus: RunCommand = async () => {
  throw new PgrecallError('usage', 'standby status is not there yet');
};
