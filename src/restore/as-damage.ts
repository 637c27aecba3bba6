import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import type { Problem } from './verify-items.ts';

/** What is wrong with what is read; what is not of the repository is thrown on. */
export async function asDamage(read: () => Promise<void>): Promise<Problem | undefined> {
  try {
    await read();
    return undefined;
  } catch (error) {
    if (!(error instanceof PgrecallError) || !(error.exitStatus === 3 || hasCode(error, 'storage'))) throw error;
    return { code: error.code, message: error.message };
  }
}
