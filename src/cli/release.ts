import { changeRecord } from './change-record.ts';
import type { RunCommand } from './command.ts';

/** `pgrecall release CLUSTER BACKUP`: it expires by the rules again. */
export const runRelease: RunCommand = async (arguments_, context) => changeRecord(arguments_, context, { keep: false });
