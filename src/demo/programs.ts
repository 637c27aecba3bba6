import { PgrecallError, hasCode } from '../errors/pgrecall-error.ts';
import { findClientPrograms } from '../server/client-programs.ts';
import { findPrograms, type Programs } from '../server/programs.ts';

const majors = [18, 17, 16, 15, 14];

/** The programs of the newest PostgreSQL on this machine, or of the named one. Throws `server-program-missing`. */
export async function newestPrograms(env: NodeJS.ProcessEnv, wanted?: number): Promise<Programs> {
  return newest(async (major) => findPrograms({ major, env }), wanted);
}

/** The same, of those that a pg_dump on this machine can dump. Throws `server-program-missing`. */
export async function newestProgramsWithClients(env: NodeJS.ProcessEnv, wanted?: number): Promise<Programs> {
  const find = async (major: number): Promise<Programs> => {
    const programs = await findPrograms({ major, env });
    await findClientPrograms({ serverMajor: major, env });
    return programs;
  };
  return newest(find, wanted, ' with a pg_dump that is not older');
}

async function newest(
  find: (major: number) => Promise<Programs>,
  wanted: number | undefined,
  condition = '',
): Promise<Programs> {
  let missing: unknown;
  for (const major of wanted === undefined ? majors : [wanted]) {
    try {
      return await find(major);
    } catch (error) {
      if (wanted !== undefined || !hasCode(error, 'server-program-missing')) throw error;
      missing = error;
    }
  }
  throw new PgrecallError(
    'server-program-missing',
    `found no PostgreSQL of the versions ${majors.join(', ')}${condition}`,
    {
      hint: 'install one: apt-get install postgresql, or npm ci in a checkout of pgrecall',
      cause: missing,
    },
  );
}
