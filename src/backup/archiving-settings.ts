import type { SqlSession } from '../connection/sql-session.ts';

/** A setting that continuous archiving needs, as it is and as it should be. */
export interface SettingAdvice {
  readonly name: string;
  readonly current: string;
  /** What `--apply` sets; the same as `current` where that is right. */
  readonly wanted: string;
  readonly right: boolean;
  readonly needsRestart: boolean;
  /** Set, but waiting for a restart. */
  readonly pendingRestart: boolean;
  readonly why: string;
}

/**
 * Compares the server's settings with those that archiving needs, after
 * https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-ARCHIVING-WAL.
 */
export async function adviseSettings(session: SqlSession, archiveCommand: string): Promise<SettingAdvice[]> {
  const rows = await session.query<{ name: string; setting: string; unit: string | null; pending: boolean }>(
    `SELECT name, setting, unit, pending_restart AS pending FROM pg_settings
      WHERE name IN ('wal_level', 'archive_mode', 'archive_command', 'archive_timeout', 'archive_library')`,
  );
  const row = new Map(rows.map((found) => [found.name, found]));
  // With archive_mode off the server shows "(disabled)" for the command, whatever the file says.
  const configured = await configuredValues(session);
  const advise = (
    name: string,
    rule: {
      readonly wanted: string;
      readonly right: (value: string) => boolean;
      readonly restart: boolean;
      readonly why: string;
    },
  ): SettingAdvice => {
    const current = row.get(name)?.setting ?? '';
    const inFile = configured.get(name);
    const effective = name === 'archive_command' && current === '(disabled)' ? (inFile ?? '') : current;
    const pending = !rule.right(effective) && inFile !== undefined && rule.right(inFile);
    return {
      name,
      current: effective,
      wanted: rule.right(effective) ? effective : rule.wanted,
      right: rule.right(effective),
      needsRestart: rule.restart,
      pendingRestart: pending || row.get(name)?.pending === true,
      why: rule.why,
    };
  };
  // Since 15; where it is set, the server does not call archive_command (15), or refuses to archive (16 and later).
  const library = advise('archive_library', {
    wanted: '',
    right: (value) => value === '',
    restart: false,
    why: 'with a library set, the server does not call archive_command',
  });
  return [
    ...(library.right ? [] : [library]),
    advise('wal_level', {
      wanted: 'replica',
      right: (value) => value === 'replica' || value === 'logical',
      restart: true,
      why: 'WAL has to hold enough to recover from it',
    }),
    advise('archive_mode', {
      wanted: 'on',
      right: (value) => value === 'on' || value === 'always',
      restart: true,
      why: 'the server has to hand over finished segments',
    }),
    advise('archive_command', {
      wanted: archiveCommand,
      right: (value) => value === archiveCommand,
      restart: false,
      why: 'how it hands them over',
    }),
    advise('archive_timeout', {
      wanted: '60',
      right: (value) => Number(value) > 0,
      restart: false,
      why: 'a segment that fills slowly is handed over after so many seconds: at most this much is lost',
    }),
  ];
}

/** What the configuration files say, for settings that a restart will bring; empty where this role may not see them. */
async function configuredValues(session: SqlSession): Promise<Map<string, string>> {
  try {
    const rows = await session.query<{ name: string; setting: string }>(
      `SELECT name, setting FROM pg_file_settings
        WHERE error IS NULL OR error LIKE '%restart%' ORDER BY seqno`,
    );
    return new Map(rows.map(({ name, setting }) => [name, setting]));
  } catch {
    return new Map();
  }
}

/** Sets what is not right with ALTER SYSTEM and reloads; settings already waiting for a restart stay. */
export async function applySettings(session: SqlSession, advice: readonly SettingAdvice[]): Promise<SettingAdvice[]> {
  const changed = advice.filter((setting) => !setting.right && !setting.pendingRestart);
  for (const { name, wanted } of changed) {
    await session.query(`ALTER SYSTEM SET ${name} = '${wanted.replaceAll("'", "''")}'`);
  }
  if (changed.length > 0) await session.query('SELECT pg_reload_conf()');
  return changed;
}
