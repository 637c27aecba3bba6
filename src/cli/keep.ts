import { changeRecord } from './change-record.ts';
import type { RunCommand } from './command.ts';

/** `pgrecall keep CLUSTER BACKUP`: no rule expires it from now on. */
export const runKeep: RunCommand = async (arguments_, context) => changeRecord(arguments_, context, { keep: true });
